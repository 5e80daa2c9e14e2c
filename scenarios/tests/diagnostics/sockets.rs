//! Mistakes about sockets and what is in flight.

use expect_test::expect;

use super::steps;

#[test]
fn sockets_and_what_is_in_flight() {
    steps(
        "fd0 = open f\na = socketpair\nx = send fd0 fd0\nb = peer a\nc = peer a\nd = peer b\ne = peer fd0\nm = send a fd0\n\
         n = send a m\no = send b a\np = send b cwd\nseek m 0\nread m 1\ndup2 = dup m\nread a 1\nopen2 = open m:x\n\
         assert m same-description fd0\nassert m position 0\nassert a position 0\n\
         fd1 = receive a\nfd2 = receive b\nfd3 = receive fd2\nmap1 = map fd2 private write\nm2 = send a fd2\nfork child\n\
         as child\nfd4 = receive b\nseek m2 0\nas main\nseek m2 0\nlast = socketpair\nfd5 = receive last\nseek fd4 0",
        expect![[r#"
            mine.scn:6:10: `fd0` is no socket
              |
            6 | x = send fd0 fd0
              |          ^^^
              `NAME = socketpair` makes two that are connected

            mine.scn:8:10: the other end of `a` has a name already
              |
            8 | c = peer a
              |          ^

            mine.scn:9:10: the other end of `b` has a name already
              |
            9 | d = peer b
              |          ^

            mine.scn:10:10: `fd0` is no socket
               |
            10 | e = peer fd0
               |          ^^^
              `NAME = socketpair` makes two that are connected

            mine.scn:12:12: `m` is in flight and cannot be sent
               |
            12 | n = send a m
               |            ^

            mine.scn:13:12: `a` is a socket and cannot be sent
               |
            13 | o = send b a
               |            ^

            mine.scn:14:12: `cwd` is no descriptor and cannot be sent
               |
            14 | p = send b cwd
               |            ^^^

            mine.scn:15:6: `m` is in flight and cannot be positioned
               |
            15 | seek m 0
               |      ^

            mine.scn:16:6: `m` is in flight and cannot be read
               |
            16 | read m 1
               |      ^

            mine.scn:17:12: `m` is in flight and cannot be duplicated
               |
            17 | dup2 = dup m
               |            ^

            mine.scn:18:6: `a` is a socket and cannot be read
               |
            18 | read a 1
               |      ^

            mine.scn:19:14: no path starts from `m`: it is no directory
               |
            19 | open2 = open m:x
               |              ^^^

            mine.scn:20:8: `m` is closed further down (`fd2 = receive b`)
               |
            20 | assert m same-description fd0
               |        ^
              assertions are tested when all steps are done, wherever they stand

            mine.scn:21:8: `m` is closed further down (`fd2 = receive b`)
               |
            21 | assert m position 0
               |        ^
              assertions are tested when all steps are done, wherever they stand

            mine.scn:22:8: `a` is a socket and cannot be asked for its position
               |
            22 | assert a position 0
               |        ^

            mine.scn:25:15: `fd2` is no socket
               |
            25 | fd3 = receive fd2
               |               ^^^
              `NAME = socketpair` makes two that are connected

            mine.scn:31:6: `m2` is in flight and cannot be positioned
               |
            31 | seek m2 0
               |      ^^

            mine.scn:33:6: `m2` is in flight and cannot be positioned
               |
            33 | seek m2 0
               |      ^^

            mine.scn:35:15: nothing waits in the queue of `last`
               |
            35 | fd5 = receive last
               |               ^^^^
              what is sent over one end of a pair is received over the other

            mine.scn:36:6: no step above makes an object `fd4`
               |
            36 | seek fd4 0
               |      ^^^
              expected: a, b, c, cwd, d, dup2, e, exe, fd0, fd1, fd2, fd3, fd5, last, m2, map1, open2, p, root, x
              did you mean `fd0`?"#]],
    );
    steps(
        "a = socketpair\nfd0 = open f\nm = send a fd0\nclose m\nclose a",
        expect![[r#"
        mine.scn:7:7: `m` is in flight and cannot be closed
          |
        7 | close m
          |       ^

        mine.scn:8:7: `a` is a socket and cannot be closed
          |
        8 | close a
          |       ^"#]],
    );
}
