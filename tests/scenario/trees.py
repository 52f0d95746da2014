# SPDX-License-Identifier: MIT
"""Directories compared as a delivery should keep them, and the sample that sources and pushes share."""
import hashlib
import os
import stat
from pathlib import Path

# 2001-02-03 04:05:06.789012345
TIME = 981173106789012345


def listing(root, modes=True, times=True):
    """{path as bytes: what it is}, without the records of a delivery. Hard links are told by the first
    path, in byte order, of the same file."""
    root = os.fsencode(root)
    found, inodes = {}, {}
    for folder, folders, names in os.walk(root):
        if folder == root and b".dray" in folders:
            folders.remove(b".dray")
        for name in folders + names:
            path = os.path.join(folder, name)
            below = os.path.relpath(path, root)
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                entry = ["link", os.readlink(path)]
            elif stat.S_ISDIR(status.st_mode):
                entry = ["directory"]
            else:
                with open(path, "rb") as file:
                    entry = ["file", hashlib.file_digest(file, "sha256").hexdigest()]
                if status.st_nlink > 1:
                    inodes.setdefault((status.st_dev, status.st_ino), []).append(below)
            if modes and entry[0] != "link":
                entry.append(f"{stat.S_IMODE(status.st_mode):04o}")
            if times:
                entry.append(status.st_mtime_ns)
            found[below] = entry
    for paths in inodes.values():
        for path in sorted(paths):
            found[path].append(min(paths))
    return found


def assert_same(delivered, source, **keywords):
    expected, found = listing(source, **keywords), listing(delivered, **keywords)
    assert found == expected


def make_sample(root):
    """One of each thing that a dataset may hold, under names that give trouble."""
    root = Path(root)
    root.mkdir(parents=True)
    deep = root / ("n" * 90) / ("m" * 120)
    deep.mkdir(parents=True)
    (root / "a.txt").write_bytes(b"alpha\n")
    (root / "empty").write_bytes(b"")
    (root / "block").write_bytes(b"b" * 512)
    (root / "more").write_bytes(os.urandom(300_001))
    (deep / ("f" * 110)).write_bytes(b"deep\n")
    (root / "späte Größe.csv").write_bytes(b"1;2\n")
    (root / "with\nnewline and 'quotes' \"x\" \\").write_bytes(b"q")
    with open(os.fsencode(root) + b"/latin\xe91", "wb") as file:
        file.write(b"not UTF-8")
    (root / "sub").mkdir()
    (root / "sub" / "link").symlink_to("../a.txt")
    (root / "sub" / "dangling").symlink_to("nothing/here")
    os.link(root / "a.txt", root / "sub" / "hard")
    (root / "hollow").mkdir()
    (root / "a.txt").chmod(0o640)
    (root / "more").chmod(0o755)
    (root / "empty").chmod(0o400)
    (root / "hollow").chmod(0o750)
    (root / "sub").chmod(0o555)
    for folder, folders, names in os.walk(os.fsencode(root), topdown=False):
        for number, name in enumerate(sorted(folders + names)):
            os.utime(os.path.join(folder, name), ns=(TIME, TIME + number), follow_symlinks=False)
    # Before 1970; in whole seconds, as libarchive loses the sign of a pax header's fraction.
    os.utime(root / "block", ns=(TIME, -86400 * 10**9))
    os.utime(root, ns=(TIME, TIME - 10**17))
    root.chmod(0o751)
    return root


CONTENT_FILTER = r"""
#include <dray/plugin.h>
struct content { int64_t unused; };
static const struct dray_option options[] = {
    DRAY_OPTION_INT(struct content, unused, "0", 0, 1, "Nothing"),
};
static int decide(void *self, struct dray_ctx *ctx, const struct dray_entry *entry,
                  struct dray_verdict *ret_verdict)
{
    struct dray_reader reader = {.size = sizeof(reader)};
    char first = 0;
    (void)self;
    *ret_verdict = (struct dray_verdict){DRAY_KEEP, 0, DRAY_NO_INDEX};
    if (entry->type != DRAY_FILE)
        return DRAY_OK;
    int result = ctx->host->open(ctx, entry->id, &reader);
    if (result != DRAY_OK)
        return result;
    int64_t got = ctx->host->read(ctx, &reader, &first, 1);
    result = ctx->host->close(ctx, &reader);
    if (got == 1 && first == 'LETTER')
        ret_verdict->verdict = DRAY_DROP;
    return got < 0 ? (int)got : result;
}
static const struct dray_filter_operations operations = {.size = sizeof(operations), .decide = decide};
DRAY_PLUGIN(DRAY_KIND_FILTER, DRAY_CAP_CONTENT, "content", "1.0.0", "Drop what begins with LETTER", struct content,
            options, &operations);
"""


def content_filter(letter):
    """The source of filter/content, which reads bytes: it drops what begins with a letter."""
    return CONTENT_FILTER.replace("LETTER", letter)
