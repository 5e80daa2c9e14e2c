/*
 * A deleted file on a detached mount, in flight.
 * As root: unshare -m ./in_flight_deleted_tmpfs_whole [DIR]. It prints its PID, and checks itself at SIGTERM.
 * Exported by zdtm-detached from the scenario in-flight/deleted@tmpfs,whole.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define fail(format, ...) fprintf(stderr, format "\n", ##__VA_ARGS__)
#define pr_perror(format, ...) fail(format ": %s", ##__VA_ARGS__, strerror(errno))
#define TRY(call) do { if ((call) < 0) { pr_perror("%s", #call); exit(1); } } while (0)
#define HOLDS(claim, test) do { if (!(test)) { fail("not so: %s", claim); differ = 1; } } while (0)

/* What is recorded of each object before the checkpoint, and again after it. */
static struct object {
	char path[64], link[4096], content[4096], *facts;
	int visible;
	long long position;
	struct statx st;
} objects[2][1];
static int differ;
static char *dirname;
static int fd0, near_pair[2], m0_fd;

static int send_descriptor(int socket, int fd)
{
	struct { struct cmsghdr head; int fd; } control = { { CMSG_LEN(sizeof(fd)), SOL_SOCKET, SCM_RIGHTS }, fd };
	struct msghdr message = { NULL, 0, &(struct iovec){ "a", 1 }, 1, &control, sizeof(control), 0 };

	return sendmsg(socket, &message, MSG_DONTWAIT);
}

/* The descriptor in the first message that waits at a socket. */
static int receive_descriptor(int socket, int flags)
{
	char byte;
	struct { struct cmsghdr head; int fd; } control = { .fd = -1 };
	struct msghdr message = { NULL, 0, &(struct iovec){ &byte, 1 }, 1, &control, sizeof(control), 0 };

	return recvmsg(socket, &message, MSG_DONTWAIT | flags) < 0 ? -1 : control.fd;
}

/* Records the object with the number i; the second time it must be as it was. */
static void observe(int after, int i, const char *name, int fd)
{
	struct object *all = objects[after], *o = &all[i];
	unsigned long long mount;
	struct statvfs vfs;
	FILE *mounts;
	int file;

	snprintf(o->path, sizeof(o->path), "/proc/self/fd/%d", fd);
	TRY(readlink(o->path, o->link, sizeof(o->link) - 1));
	TRY(statx(AT_FDCWD, o->path, 0, STATX_BASIC_STATS | STATX_MNT_ID, &o->st));
	TRY(statvfs(o->path, &vfs));
	TRY((mounts = fopen("/proc/self/mountinfo", "r")) ? 0 : -1);
	while (fscanf(mounts, "%llu%*[^\n]", &mount) == 1)
		o->visible |= mount == o->st.stx_mnt_id;
	fclose(mounts);
	o->position = lseek(fd, 0, SEEK_CUR);
	if (S_ISREG(o->st.stx_mode) && (file = open(o->path, O_RDONLY | O_NONBLOCK)) >= 0) {
		TRY(pread(file, o->content, sizeof(o->content), 0));
		close(file);
	}
	TRY(asprintf(&o->facts,
		 "link %s, %s, mount attributes %#lx, mode %o, links %u"
		 ", size %lld, flags %#o, descriptor flags %d, position %lld",
		 o->link, o->visible ? "visible" : "not in mountinfo", vfs.f_flag, o->st.stx_mode, o->st.stx_nlink,
		 S_ISREG(o->st.stx_mode) ? (long long)o->st.stx_size : 0, fcntl(fd, F_GETFL), fcntl(fd, F_GETFD), o->position));
	if (strcmp(objects[0][i].facts, o->facts) || memcmp(objects[0][i].content, o->content, sizeof(o->content))) {
		fail("%s was: %s, content %.64s", name, objects[0][i].facts, objects[0][i].content);
		fail("%s is: %s, content %.64s", name, o->facts, o->content);
		differ = 1;
	}
}

static void look(int after)
{
	struct object *o = objects[after];

	TRY(m0_fd = receive_descriptor(near_pair[1], MSG_PEEK));
	observe(after, 0, "m0", m0_fd);
	HOLDS("assert m0 detached", !o[0].visible);
	HOLDS("assert m0 link \"/f (deleted)\"", !strcmp(o[0].link, "/f (deleted)"));
	HOLDS("assert m0 links 0", o[0].st.stx_nlink == 0);
	HOLDS("assert m0 content \"hello\"", o[0].st.stx_size == 5 && !memcmp(o[0].content, "hello", 5));
	close(m0_fd);
	if (differ)
		exit(1);
}

int main(int argc, char **argv)
{
	sigset_t signals;
	int file, signal;

	dirname = argc > 1 ? argv[1] : "in_flight_deleted_tmpfs_whole.test";
	TRY(mkdir(dirname, 0755));
	TRY(chdir(dirname));
	TRY(mkdir("a", 0755) ?: mount("tmpfs", "a", "tmpfs", 0, NULL)); /* mount tmpfs a */
	TRY(file = open("a/f", O_WRONLY | O_CREAT | O_TRUNC, 0644)); /* write a/f "hello" */
	TRY(write(file, "hello", 5) == 5 ? close(file) : -1);
	TRY(mkdir("b", 0755) ?: mount("a", "b", NULL, MS_BIND, NULL)); /* bind a b */
	TRY(fd0 = open("b/f", O_RDWR)); /* fd0 = open b/f rdwr */
	TRY(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, near_pair)); /* near = socketpair */
	TRY(send_descriptor(near_pair[0], fd0)); /* m0 = send near fd0 */
	TRY(close(fd0)); /* close fd0 */
	TRY(unlink("b/f")); /* unlink b/f */
	TRY(umount2("b", MNT_DETACH)); /* umount-lazy b */

	look(0);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	dprintf(STDOUT_FILENO, "%d\n", getpid());
	sigwait(&signals, &signal);

	look(1);
	return 0;
}
