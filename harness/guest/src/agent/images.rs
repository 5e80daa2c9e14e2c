//! The images of a trial's checkpoint, for the host that keeps them. Small ones first: those that
//! say most are small, and the memory's pages are what there may be no room for.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use protocol::images::Images;

/// What an engine logs stands beside its images, and is sent as a text.
const NO_IMAGES: [&str; 2] = ["log", "out"];

/// The images below the folder of a trial, each dump's in a folder of its own: the first one's as
/// `1-core-1.img`. What cannot be read is left out, and named.
pub(super) fn collect(folder: &Path) -> Images {
    let mut images = Images::default();
    let found = match files(folder) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return images,
        Err(error) => {
            images.left_out.push(format!("all: {error}"));
            return images;
        }
    };
    for (size, name, path) in found {
        // An image that is known to be too large is not read.
        match usize::try_from(size) {
            Ok(size) if images.has_room(size) => match fs::read(&path) {
                Ok(bytes) => images.add(name, bytes),
                Err(error) => images.left_out.push(format!("{name}: {error}")),
            },
            _ => images.left_out.push(format!("{name}: {size} bytes")),
        }
    }
    images
}

/// Size, name and path of each, the small ones first.
fn files(folder: &Path) -> io::Result<Vec<(u64, String, PathBuf)>> {
    let mut found = Vec::new();
    for dump in fs::read_dir(folder)? {
        let dump = dump?;
        if !dump.file_type()?.is_dir() {
            continue;
        }
        for image in fs::read_dir(dump.path())? {
            let image = image?;
            let path = image.path();
            let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            // After a killed dump, a pipe may be in the place of an image.
            if image.file_type()?.is_file() && !NO_IMAGES.contains(&&*extension) {
                let name = format!("{}-{}", dump.file_name().to_string_lossy(), image.file_name().to_string_lossy());
                found.push((image.metadata()?.len(), name, path));
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use protocol::limits;

    use super::*;

    #[test]
    fn images_are_taken_up_to_a_size_and_logs_are_not() {
        let folder = std::env::temp_dir().join(format!("zdtm-images-{}", std::process::id()));
        assert!(collect(&folder).is_empty());
        fs::create_dir_all(folder.join("1/folder")).expect("folders");
        for (name, size) in [("pages-1.img", limits::IMAGE_BYTES), ("core-1.img", 3), ("dump.log", 5)] {
            fs::write(folder.join("1").join(name), vec![b'x'; size]).expect("a file");
        }
        let socket = UnixListener::bind(folder.join("1/socket.img")).expect("a socket");
        let images = collect(&folder);
        drop(socket);
        fs::remove_dir_all(&folder).expect("its end");
        assert_eq!(format!("{:?}", images.files), r#"["1-core-1.img": 3 bytes]"#);
        assert_eq!(images.left_out, [format!("1-pages-1.img: {} bytes", limits::IMAGE_BYTES)]);
    }
}
