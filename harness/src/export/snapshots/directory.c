/*
 * Lookups from a directory on a detached mount down into what lies below it.
 * As root: unshare -m ./resolution_down_tmpfs_whole [DIR]. It prints its PID, and checks itself at SIGTERM.
 * Exported by zdtm-detached from the scenario resolution/down@tmpfs,whole.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
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
	int visible;
	long long position;
	struct statx st;
} objects[2][1];
static int differ;
static char *dirname, top[4096];
static int fd0;

/* A link as the scenario writes it: from the top directory where it is below that. */
static const char *from_top(const char *link)
{
	return strncmp(link, top, strlen(top)) ? link : link[strlen(top)] ? link + strlen(top) : "/";
}

/* What a path leads to from an object: the link, or the error. */
static const char *look_up(const struct object *o, const char *name)
{
	static char link[4096];
	char path[8192];
	int found;

	snprintf(path, sizeof(path), "%s/%s", o->path, name);
	found = open(path, O_PATH);
	if (found < 0)
		return strerror(errno);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", found);
	memset(link, 0, sizeof(link));
	TRY(readlink(path, link, sizeof(link) - 1));
	close(found);
	return from_top(link);
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

	observe(after, 0, "fd0", fd0);
	HOLDS("assert fd0 detached", !o[0].visible);
	HOLDS("assert fd0 link \"/\"", !strcmp(o[0].link, "/"));
	HOLDS("assert fd0 lookup \"e/g/f\" link \"/e/g/f\"", !strcmp(look_up(&o[0], "e/g/f"), "/e/g/f"));
	HOLDS("assert fd0 lookup \"./e//g/../g/./f\" link \"/e/g/f\"", !strcmp(look_up(&o[0], "./e//g/../g/./f"), "/e/g/f"));
	HOLDS("assert fd0 lookup \"e/missing\" ENOENT", !strcmp(look_up(&o[0], "e/missing"), strerror(ENOENT)));
	HOLDS("assert fd0 lookup \"e/g/f/x\" ENOTDIR", !strcmp(look_up(&o[0], "e/g/f/x"), strerror(ENOTDIR)));
	HOLDS("assert fd0 lookup \"e/g/f/\" ENOTDIR", !strcmp(look_up(&o[0], "e/g/f/"), strerror(ENOTDIR)));
	if (differ)
		exit(1);
}

int main(int argc, char **argv)
{
	sigset_t signals;
	int file, signal;

	dirname = argc > 1 ? argv[1] : "resolution_down_tmpfs_whole.test";
	TRY(mkdir(dirname, 0755));
	TRY(chdir(dirname));
	TRY(getcwd(top, sizeof(top)) ? 0 : -1);
	TRY(mkdir("a", 0755) ?: mount("tmpfs", "a", "tmpfs", 0, NULL)); /* mount tmpfs a */
	TRY(mkdir("a/e", 0755)); /* mkdir a/e */
	TRY(mkdir("a/e/g", 0755)); /* mkdir a/e/g */
	TRY(file = open("a/e/g/f", O_WRONLY | O_CREAT | O_TRUNC, 0644)); /* write a/e/g/f "hello" */
	TRY(write(file, "hello", 5) == 5 ? close(file) : -1);
	TRY(mkdir("b", 0755) ?: mount("a", "b", NULL, MS_BIND, NULL)); /* bind a b */
	TRY(fd0 = open("b", O_DIRECTORY)); /* fd0 = open b directory */
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
