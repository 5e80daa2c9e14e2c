//! The errors of system calls, errno(3): one name and one number each.
//!
//! Messages, results and the language have the name, because numbers differ between architectures.

use std::fmt;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Defines the type, with the numbers of this architecture.
macro_rules! errnos {
    ($($name:ident)*) => {
        /// An error of a system call, errno(3).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "errno(3) says what each means")]
        #[repr(i32)]
        pub enum Errno {
            $($name = libc::$name,)*
        }

        impl Errno {
            /// Every error of Linux, without second names (`EWOULDBLOCK`, `ENOTSUP`, `EDEADLOCK`).
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name: `ENOENT`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

errnos! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT
    ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG
    ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY
    ELOOP ENOMSG EIDRM ECHRNG EL2NSYNC EL3HLT EL3RST ELNRNG EUNATCH ENOCSI EL2HLT EBADE EBADR
    EXFULL ENOANO EBADRQC EBADSLT EBFONT ENOSTR ENODATA ETIME ENOSR ENONET ENOPKG EREMOTE ENOLINK
    EADV ESRMNT ECOMM EPROTO EMULTIHOP EDOTDOT EBADMSG EOVERFLOW ENOTUNIQ EBADFD EREMCHG ELIBACC
    ELIBBAD ELIBSCN ELIBMAX ELIBEXEC EILSEQ ERESTART ESTRPIPE EUSERS ENOTSOCK EDESTADDRREQ
    EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT
    EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET
    ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH
    EALREADY EINPROGRESS ESTALE EUCLEAN ENOTNAM ENAVAIL EISNAM EREMOTEIO EDQUOT ENOMEDIUM
    EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED EOWNERDEAD ENOTRECOVERABLE
    ERFKILL EHWPOISON
}

impl Errno {
    /// The number on this architecture.
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// The error with this number. Drivers also return numbers that errno(3) does not list: for
    /// these there is none.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.iter().copied().find(|errno| errno.number() == number)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that is not the name of an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown errno {0:?}")]
pub struct UnknownErrno(pub String);

impl FromStr for Errno {
    type Err = UnknownErrno;

    fn from_str(name: &str) -> Result<Self, UnknownErrno> {
        Self::ALL.iter().copied().find(|errno| errno.name() == name).ok_or_else(|| UnknownErrno(name.to_owned()))
    }
}

impl Serialize for Errno {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Errno {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_one_name_and_one_number() {
        for &errno in Errno::ALL {
            assert_eq!(errno.name().parse(), Ok(errno));
            assert_eq!(Errno::from_number(errno.number()), Some(errno));
            let json = serde_json::to_value(errno).unwrap();
            assert_eq!(json, errno.name());
            assert_eq!(serde_json::from_value::<Errno>(json).unwrap(), errno);
        }
    }

    #[test]
    fn what_errno_does_not_list_is_an_error() {
        assert_eq!("ENOTHING".parse::<Errno>().unwrap_err().to_string(), "unknown errno \"ENOTHING\"");
        assert!(serde_json::from_str::<Errno>("\"ENOTHING\"").is_err());
        // ENOTSUPP of include/linux/errno.h, which programs should never see and do.
        assert_eq!([Errno::from_number(0), Errno::from_number(-1), Errno::from_number(524)], [None; 3]);
    }
}
