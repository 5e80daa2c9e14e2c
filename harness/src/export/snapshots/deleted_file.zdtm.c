/*
 * A file unlinked through the bind that is then lazily unmounted.
 * Exported by zdtm-detached from the scenario deleted/unlinked@ext4,rdwr,whole.
 */
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include "zdtmtst.h"

const char *test_doc = "A file unlinked through the bind that is then lazily unmounted.";
const char *test_author = "zdtm-detached";
char *dirname;
TEST_OPTION(dirname, string, "directory name", 1);

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
static int fd0;

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
	HOLDS("assert fd0 link \"/f (deleted)\"", !strcmp(o[0].link, "/f (deleted)"));
	HOLDS("assert fd0 links 0", o[0].st.stx_nlink == 0);
	HOLDS("assert fd0 content \"hello\"", o[0].st.stx_size == 5 && !memcmp(o[0].content, "hello", 5));
	if (differ)
		exit(1);
}

/* Outside of the namespaces of the test. */
static void make_disks(void)
{
	TRY(-system("truncate -s 320M deleted_unlinked_ext4_rdwr_whole.disk200 && mkfs.ext4 -q deleted_unlinked_ext4_rdwr_whole.disk200 && "
		    "{ [ -b /dev/loop200 ] || mknod /dev/loop200 b 7 200; } && "
		    "losetup /dev/loop200 deleted_unlinked_ext4_rdwr_whole.disk200"));
}

int main(int argc, char **argv)
{
	int file;
	const char *stage = getenv("ZDTM_NEWNS");

	if (!stage || !strcmp(stage, "1"))
		make_disks();
	test_init(argc, argv);
	TRY(mkdir(dirname, 0755));
	TRY(chdir(dirname));
	TRY(mknod(".disk0", S_IFBLK | 0600, makedev(7, 200)));
	TRY(mkdir("a", 0755) ?: mount(".disk0", "a", "ext4", 0, NULL)); /* mount ext4 a */
	TRY(file = open("a/f", O_WRONLY | O_CREAT | O_TRUNC, 0644)); /* write a/f "hello" */
	TRY(write(file, "hello", 5) == 5 ? close(file) : -1);
	TRY(mkdir("b", 0755) ?: mount("a", "b", NULL, MS_BIND, NULL)); /* bind a b */
	TRY(fd0 = open("b/f", O_RDWR)); /* fd0 = open b/f rdwr */
	TRY(unlink("b/f")); /* unlink b/f */
	TRY(umount2("b", MNT_DETACH)); /* umount-lazy b */

	look(0);
	test_daemon();
	test_waitsig();

	look(1);
	pass();
	return 0;
}
