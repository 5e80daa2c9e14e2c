//! Mistakes about processes.

use expect_test::expect;

use super::steps;

#[test]
fn what_processes_cannot_do() {
    steps(
        "fork p\nas q\nas main\nas p\nfork p\nfork main\nexec\nas main\nassert q.fd0 detached\nassert p.fd0 detached\n\
         fork r\nfork s\nfork t",
        expect![[r#"
            mine.scn:5:4: no step above is `fork q`
              |
            5 | as q
              |    ^
              expected: main, p
              did you mean `p`?

            mine.scn:6:4: `main` carries out the steps already
              |
            6 | as main
              |    ^^^^

            mine.scn:8:6: there is a process `p` already
              |
            8 | fork p
              |      ^

            mine.scn:9:6: there is a process `main` already
              |
            9 | fork main
              |      ^^^^

            mine.scn:10:1: `exec` only where there is one process
               |
            10 | exec
               | ^^^^
              put it before the first `fork`

            mine.scn:12:8: no step above is `fork q`
               |
            12 | assert q.fd0 detached
               |        ^^^^^
              expected: main, p
              did you mean `p`?

            mine.scn:13:8: `p` has no object `fd0`
               |
            13 | assert p.fd0 detached
               |        ^^^^^

            mine.scn:16:1: a program has at most 4 processes
               |
            16 | fork t
               | ^^^^"#]],
    );
}

#[test]
fn objects_of_other_processes() {
    steps(
        "fork p\nseek p.fd0 1",
        expect![[r#"
            mine.scn:5:6: only an `assert` names objects of other processes
              |
            5 | seek p.fd0 1
              |      ^^^^^
              write `as p` in a line before"#]],
    );
}

#[test]
fn what_cannot_end() {
    steps(
        "near = socketpair\nfork p\nexit main\nexit q\nas p\nexit p\nfd0 = open f\nm = send near fd0\nas main\nexit p\n\
         fork r\nas r\nfork s\nas main\nexit r\nexit s\nexit s\nas s\nfork s\nassert s.near internal",
        expect![[r#"
            mine.scn:6:6: `main` cannot end: it is what is dumped
              |
            6 | exit main
              |      ^^^^

            mine.scn:7:6: no step above is `fork q`
              |
            7 | exit q
              |      ^
              expected: main, p
              did you mean `p`?

            mine.scn:9:6: `p` carries out the steps
              |
            9 | exit p
              |      ^
              let another process carry them out first, `as PROCESS`

            mine.scn:13:6: `p.m` waits in a queue, and no other process has a name for it
               |
            13 | exit p
               |      ^

            mine.scn:18:6: `r` has a child, `s`, which would get another parent
               |
            18 | exit r
               |      ^

            mine.scn:20:6: `s` has ended
               |
            20 | exit s
               |      ^

            mine.scn:21:4: `s` has ended
               |
            21 | as s
               |    ^

            mine.scn:22:6: there is a process `s` already
               |
            22 | fork s
               |      ^

            mine.scn:23:8: `s.near` is closed
               |
            23 | assert s.near internal
               |        ^^^^^^"#]],
    );
}
