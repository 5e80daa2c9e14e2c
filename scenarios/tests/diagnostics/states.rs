//! Mistakes in the steps on the state of descriptors.

use expect_test::expect;

use super::steps;

#[test]
fn ranges() {
    steps(
        "x = open a\nlock x flock read from=1\nlock x lease read length=2\nlock x ofd read from=2 length=9223372036854775807",
        expect![[r#"
            mine.scn:5:19: `flock` is on the whole file
              |
            5 | lock x flock read from=1
              |                   ^^^^^^

            mine.scn:6:19: `lease` is on the whole file
              |
            6 | lock x lease read length=2
              |                   ^^^^^^^^

            mine.scn:7:24: the range ends behind the largest offset
              |
            7 | lock x ofd read from=2 length=9223372036854775807
              |                        ^^^^^^^^^^^^^^^^^^^^^^^^^^"#]],
    );
}

#[test]
fn watches() {
    steps(
        "m = memfd \"m\"\ny = open a path\nset = epoll m\nnext = epoll y set\nread set 1\nclose set",
        expect![[r#"
            mine.scn:6:13: `m` gives no events and cannot be watched
              |
            6 | set = epoll m
              |             ^

            mine.scn:7:14: `y` gives no events and cannot be watched
              |
            7 | next = epoll y set
              |              ^

            mine.scn:8:6: `set` watches others and cannot be read
              |
            8 | read set 1
              |      ^^^

            mine.scn:9:7: `set` watches others and cannot be closed
              |
            9 | close set
              |       ^^^"#]],
    );
}

#[test]
fn seals_and_signals() {
    steps(
        "m = memfd \"m\" sealable\nx = open a\ny = open a path\nseal x grow\nset-owner y\nseal m grow grow",
        expect![[r#"
            mine.scn:7:6: `x` is not open for writing
              |
            7 | seal x grow
              |      ^

            mine.scn:8:11: `y` was opened with `path` and cannot be given an owner
              |
            8 | set-owner y
              |           ^

            mine.scn:9:13: `grow` stands a second time
              |
            9 | seal m grow grow
              |             ^^^^"#]],
    );
}

#[test]
fn words() {
    steps(
        "set-signal x 65\nseal m\nseal m sink\nlock x posix read from=-1",
        expect![[r#"
        mine.scn:4:14: `65` is out of range
          |
        4 | set-signal x 65
          |              ^^
          expected: a number from 0 to 64
          it is written so: set-signal OBJECT SIGNAL

        mine.scn:5:7: missing: seal, shrink, grow, write, future-write
          |
        5 | seal m
          |       ^
          it is written so: seal OBJECT SEAL...

        mine.scn:6:8: unknown word `sink`
          |
        6 | seal m sink
          |        ^^^^
          expected: seal, shrink, grow, write, future-write
          did you mean `shrink`?

        mine.scn:7:19: `-1` is out of range
          |
        7 | lock x posix read from=-1
          |                   ^^^^^^^
          expected: a number from 0 to 9223372036854775807
          it is written so: lock OBJECT LOCK WAY [from=START] [length=BYTES]"#]],
    );
}
