//! Functions of the C program that are the same wherever they are needed.

pub(super) const FROM_TOP: &str = "
/* A link as the scenario writes it: from the top directory where it is below that. */
static const char *from_top(const char *link)
{
\treturn strncmp(link, top, strlen(top)) ? link : link[strlen(top)] ? link + strlen(top) : \"/\";
}
";

pub(super) const LOOK_UP: &str = "
/* What a path leads to from an object: the link, or the error. */
static const char *look_up(const struct object *o, const char *name)
{
\tstatic char link[4096];
\tchar path[8192];
\tint found;

\tsnprintf(path, sizeof(path), \"%s/%s\", o->path, name);
\tfound = open(path, O_PATH);
\tif (found < 0)
\t\treturn strerror(errno);
\tsnprintf(path, sizeof(path), \"/proc/self/fd/%d\", found);
\tmemset(link, 0, sizeof(link));
\tTRY(readlink(path, link, sizeof(link) - 1));
\tclose(found);
\treturn from_top(link);
}
";

pub(super) const AT: &str = "
/* A path that starts from a descriptor, or the descriptor's own file. */
static const char *at(int fd, const char *path)
{
\tstatic char text[2][4096];
\tstatic int turn;

\tturn = !turn;
\tsnprintf(text[turn], 4096, *path ? \"/proc/self/fd/%d/%s\" : \"/proc/self/fd/%d%s\", fd, path);
\treturn text[turn];
}
";

pub(super) const SEND: &str = "
static int send_descriptor(int socket, int fd)
{
\tstruct { struct cmsghdr head; int fd; } control = { { CMSG_LEN(sizeof(fd)), SOL_SOCKET, SCM_RIGHTS }, fd };
\tstruct msghdr message = { NULL, 0, &(struct iovec){ \"a\", 1 }, 1, &control, sizeof(control), 0 };

\treturn sendmsg(socket, &message, MSG_DONTWAIT);
}
";

pub(super) const RECEIVE: &str = "
/* The descriptor in the first message that waits at a socket. */
static int receive_descriptor(int socket, int flags)
{
\tchar byte;
\tstruct { struct cmsghdr head; int fd; } control = { .fd = -1 };
\tstruct msghdr message = { NULL, 0, &(struct iovec){ &byte, 1 }, 1, &control, sizeof(control), 0 };

\treturn recvmsg(socket, &message, MSG_DONTWAIT | flags) < 0 ? -1 : control.fd;
}
";

pub(super) const PEEK_BEHIND: &str = "
/* The descriptor in the nth message that waits at a socket; each message has one byte. */
static int peek(int socket, int nth)
{
\tchar byte;
\tint none = -1;
\tstruct { struct cmsghdr head; int fd; } control = { .fd = -1 };
\tstruct msghdr message = { NULL, 0, &(struct iovec){ &byte, 1 }, 1, &control, sizeof(control), 0 };

\tTRY(setsockopt(socket, SOL_SOCKET, SO_PEEK_OFF, &nth, sizeof(nth)));
\tTRY(recvmsg(socket, &message, MSG_PEEK | MSG_DONTWAIT));
\tTRY(setsockopt(socket, SOL_SOCKET, SO_PEEK_OFF, &none, sizeof(none)));
\treturn control.fd;
}
";

pub(super) const READ_LOCKS: &str = "
/* The locks of a descriptor, without the numbers of processes and files. */
static void read_locks(int fd, char *text, size_t size)
{
\tchar path[64], line[256], kind[3][16], range[2][32];
\tFILE *info;

\tsnprintf(path, sizeof(path), \"/proc/self/fdinfo/%d\", fd);
\tinfo = fopen(path, \"r\");
\twhile (info && fgets(line, sizeof(line), info))
\t\tif (sscanf(line, \"lock: %*s %15s %15s %15s %*s %*s %31s %31s\",
\t\t\t   kind[0], kind[1], kind[2], range[0], range[1]) == 5)
\t\t\tsnprintf(text + strlen(text), size - strlen(text), \"%s %s %s %s-%s; \",
\t\t\t\t kind[0], kind[1], kind[2], range[0], range[1]);
\tif (info)
\t\tfclose(info);
}
";
