/*
 * A file was open when the process got a mount namespace of its own, and the old namespace is gone.
 * As root: unshare -m ./namespace_gone_file_tmpfs_rdwr [DIR]. It prints its PID, and checks itself at SIGTERM.
 * Exported by zdtm-detached from the scenario namespace-gone/file@tmpfs,rdwr.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
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
	int visible, same_mount, same_file;
	long long position;
	struct statx st;
} objects[2][2];
static int differ;
static char *dirname, start[4096], self[4096];
static int fd0;

/* Records the object with the number i; the second time it must be as it was. */
static void observe(int after, int i, const char *name, int fd)
{
	struct object *all = objects[after], *o = &all[i];
	unsigned long long mount;
	struct statvfs vfs;
	FILE *mounts;
	int file;

	if (fd >= 0)
		snprintf(o->path, sizeof(o->path), "/proc/self/fd/%d", fd);
	else
		snprintf(o->path, sizeof(o->path), "/proc/self/%s", name);
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
	while (all[o->same_mount].st.stx_mnt_id != o->st.stx_mnt_id)
		o->same_mount++;
	while (all[o->same_file].st.stx_ino != o->st.stx_ino || all[o->same_file].st.stx_dev_minor != o->st.stx_dev_minor)
		o->same_file++;
	TRY(asprintf(&o->facts,
		 "link %s, %s, mount attributes %#lx, mode %o, links %u"
		 ", size %lld, flags %#o, descriptor flags %d, position %lld, mount of object %d"
		 ", file of object %d",
		 o->link, o->visible ? "visible" : "not in mountinfo", vfs.f_flag, o->st.stx_mode, o->st.stx_nlink,
		 S_ISREG(o->st.stx_mode) ? (long long)o->st.stx_size : 0, fcntl(fd, F_GETFL), fcntl(fd, F_GETFD), o->position, o->same_mount,
		 o->same_file));
	if (strcmp(objects[0][i].facts, o->facts) || memcmp(objects[0][i].content, o->content, sizeof(o->content))) {
		fail("%s was: %s, content %.64s", name, objects[0][i].facts, objects[0][i].content);
		fail("%s is: %s, content %.64s", name, o->facts, o->content);
		differ = 1;
	}
}

static void look(int after)
{
	struct object *o = objects[after];

	observe(after, 0, "fd0", fd0);
	observe(after, 1, "exe", -1);
	HOLDS("assert fd0 detached", !o[0].visible);
	HOLDS("assert fd0 link \"/f\"", !strcmp(o[0].link, "/f"));
	HOLDS("assert exe visible", o[1].visible);
	if (differ)
		exit(1);
}

/* The steps up to `exec`, in a process that then starts anew. */
static void before_exec(char **argv)
{
	char numbers[256];
	int file;

	TRY(getcwd(start, sizeof(start)) ? 0 : -1);
	TRY(readlink("/proc/self/exe", self, sizeof(self) - 1));
	TRY(mkdir(dirname, 0755));
	/* A namespace of this process alone: it ends when the steps leave it. */
	TRY(unshare(CLONE_NEWNS));
	TRY(mount(dirname, dirname, NULL, MS_BIND, NULL));
	TRY(chdir(dirname));
	TRY(mkdir("a", 0755) ?: mount("tmpfs", "a", "tmpfs", 0, NULL)); /* mount tmpfs a */
	TRY(file = open("a/f", O_WRONLY | O_CREAT | O_TRUNC, 0644)); /* write a/f "hello" */
	TRY(write(file, "hello", 5) == 5 ? close(file) : -1);
	TRY(fd0 = open("a/f", O_RDWR)); /* fd0 = open a/f rdwr */
	TRY(unshare(CLONE_NEWNS)); /* unshare-mounts */
	snprintf(numbers, sizeof(numbers), "%d ", fd0); /* exec */
	TRY(setenv("ZDTM_REEXEC", numbers, 1));
	TRY(chdir(start));
	TRY(execv(self, argv));
}

int main(int argc, char **argv)
{
	const char *numbers = getenv("ZDTM_REEXEC");
	sigset_t signals;
	int signal;

	dirname = argc > 1 ? argv[1] : "namespace_gone_file_tmpfs_rdwr.test";
	if (!numbers)
		before_exec(argv);
	TRY(chdir(dirname));
	sscanf(numbers, "%d", &fd0);

	look(0);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	dprintf(STDOUT_FILENO, "%d\n", getpid());
	sigwait(&signals, &signal);

	look(1);
	return 0;
}
