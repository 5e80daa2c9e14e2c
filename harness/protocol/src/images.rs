//! The images of a checkpoint on their way from the guest into the folder of a trial that failed:
//! bytes of any kind, as hexadecimal digits, no more of them than [`limits::IMAGE_BYTES`].

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::{Serialize, Serializer};

use crate::limits;

/// The images of one trial.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Images {
    /// Those that are sent.
    #[serde(deserialize_with = "files")]
    pub files: Vec<ImageFile>,
    /// The names and sizes of those that are not: there was no room.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "limits::lines")]
    pub left_out: Vec<String>,
}

/// One image.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ImageFile {
    /// A plain file name: `files.img`.
    pub name: String,
    /// What it holds.
    #[serde(serialize_with = "to_digits", deserialize_with = "from_digits")]
    pub bytes: Vec<u8>,
}

impl Images {
    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.left_out.is_empty()
    }

    /// Adds an image, or only its name and size where the room is used up.
    pub fn add(&mut self, name: String, bytes: Vec<u8>) {
        if self.has_room(bytes.len()) {
            self.files.push(ImageFile { name, bytes });
        } else {
            self.left_out.push(format!("{name}: {} bytes", bytes.len()));
        }
    }

    /// Whether one more image of this size is within the limits.
    pub fn has_room(&self, size: usize) -> bool {
        let taken: usize = self.files.iter().map(|file| file.bytes.len()).sum();
        self.files.len() < limits::IMAGES && taken.saturating_add(size) <= limits::IMAGE_BYTES
    }
}

impl fmt::Debug for ImageFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {} bytes", self.name, self.bytes.len())
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn to_digits<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    let text: String = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
    text.serialize(to)
}

fn from_digits<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(from)?;
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let byte = |pair: &[u8]| match *pair {
        [high, low] => Some(value(high)? << 4 | value(low)?),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
    bytes.ok_or_else(|| D::Error::custom("an image is pairs of hexadecimal digits"))
}

/// A list that is within the limits.
fn files<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<ImageFile>, D::Error> {
    from.deserialize_seq(Within)
}

struct Within;

impl<'de> Visitor<'de> for Within {
    type Value = Vec<ImageFile>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {} images", limits::IMAGES)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<ImageFile>, A::Error> {
        let mut images = Images::default();
        while let Some(file) = sequence.next_element::<ImageFile>()? {
            if !images.has_room(file.bytes.len()) {
                let (count, bytes) = (limits::IMAGES, limits::IMAGE_BYTES);
                return Err(A::Error::custom(format_args!("more than {count} images, or {bytes} bytes of them")));
            }
            images.files.push(file);
        }
        Ok(images.files)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: serde_json::Value) -> Result<Images, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn images_arrive_as_they_were() {
        let mut images = Images::default();
        images.add("core-1.img".to_owned(), (0..=255).collect());
        images.add("empty.img".to_owned(), Vec::new());
        images.add("large.img".to_owned(), vec![0; limits::IMAGE_BYTES]);
        assert_eq!(images.left_out, [format!("large.img: {} bytes", limits::IMAGE_BYTES)]);
        assert_eq!(read(serde_json::to_value(&images).unwrap()), Ok(images));
    }

    #[test]
    fn what_is_no_image_or_too_much_is_refused() {
        for text in ["0", "0g", "+1", "ä"] {
            let error = read(json!({"files": [{"name": "a", "bytes": text}]})).unwrap_err();
            assert_eq!(error, "an image is pairs of hexadecimal digits", "{text}");
        }
        let half = "00".repeat(limits::IMAGE_BYTES / 2);
        let file = |bytes: &str| json!({"name": "a", "bytes": bytes});
        assert!(read(json!({"files": [file(&half), file(&half)]})).is_ok());
        let error = read(json!({"files": [file(&half), file(&half), file("00")]})).unwrap_err();
        assert!(error.starts_with("more than 256 images, or 8388608 bytes"), "{error}");
        let error = read(json!({"files": vec![file(""); limits::IMAGES + 1]})).unwrap_err();
        assert!(error.starts_with("more than 256 images"), "{error}");
    }
}
