//! One event stream, one file per format.
