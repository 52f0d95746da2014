# SPDX-License-Identifier: MIT
"""Archives as tests need them: well formed, or forged byte by byte where libraries refuse to lie."""
import ctypes
import ctypes.util
import io
import os
import stat
import struct
import tarfile
import zlib

import pytest

FILE, LINK, HARD, FOLDER = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def forge(path, *entries, form="pax", **keywords):
    """A tar of (name, type, link target or content) as they are given, whatever they say."""
    with tarfile.open(path, "w", format=FORMATS[form], **keywords) as tar:
        for name, kind, *rest in entries:
            info = tarfile.TarInfo(name)
            info.type = kind
            info.mode, info.mtime = (0o755 if kind == FOLDER else 0o644), 1_000_000_000
            data = b"content"
            if kind in (LINK, HARD):
                info.linkname = rest[0]
            elif rest:
                data = rest[0]
            info.size = len(data) if kind == FILE else 0
            tar.addfile(info, io.BytesIO(data))
    return path


# ---- Tars, block by block ----


def header(name, size=0, kind=FILE, link="", mode=0o644, **fields):
    """One ustar header, with raw bytes put at offsets (`at_124=b"..."`) before its checksum."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname, info.mode = kind, size, link, mode
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    for place, data in fields.items():
        start = int(place[3:])
        block[start:start + len(data)] = data
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def blocks(data):
    return data + bytes(-len(data) % 512)


def pax(**records):
    """A pax header for the entry that follows; names as pax has them, `__` for a dot."""
    text = b""
    for name, value in records.items():
        record = b" %s=%s\n" % (name.replace("__", ".").encode(), value)
        length = len(record) + 1
        while length != len(record) + len(str(length)):
            length = len(record) + len(str(length))
        text += str(length).encode() + record
    return header("pax", len(text), tarfile.XHDTYPE) + blocks(text)


def tar_of(path, *parts):
    path.write_bytes(b"".join(parts) + bytes(1024))
    return path


# ---- Zips, record by record ----


def member(name, data=b"0123456789ab", mode=stat.S_IFREG | 0o644, system=3, flags=0, method=0, **lies):
    """What zip_of takes. Lies: local_name, size, local_size, packed, crc, extra (of the table)."""
    if method == 8:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = packer.compress(data) + packer.flush()
    else:
        packed = data
    facts = {"name": name.encode(), "data": packed, "mode": mode, "system": system, "flags": flags,
             "method": method, "crc": zlib.crc32(data), "size": len(data), "packed": len(packed), "extra": b""}
    facts.update(lies)
    facts.setdefault("local_name", facts["name"])
    for name in ("size", "method", "flags"):
        facts.setdefault(f"local_{name}", facts[name])
    return facts


def zip_of(path, *members, hidden=(), behind=b""):
    """A zip of members; those of `hidden` (numbers) are left out of its table."""
    body, table, count = b"", b"", 0
    for i, m in enumerate(members):
        start = len(body)
        common = struct.pack("<HHHHI", m["flags"], m["method"], 0, 33, m["crc"])
        local = struct.pack("<HHHHI", m["local_flags"], m["local_method"], 0, 33, m["crc"])
        body += b"PK\3\4" + struct.pack("<H", 20) + local + struct.pack(
            "<IIHH", m["packed"], m["local_size"], len(m["local_name"]), 0) + m["local_name"] + m["data"]
        if i in hidden:
            continue
        count += 1
        table += (b"PK\1\2" + struct.pack("<BBH", 20, m["system"], 45) + common +
                  struct.pack("<IIHHHHHII", m["packed"], m["size"], len(m["name"]), len(m["extra"]), 0, 0, 0,
                              m["mode"] << 16, m.get("start", start)) + m["name"] + m["extra"])
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count, count, len(table), len(body), 0)
    path.write_bytes(body + table + end + behind)
    return path


# ---- 7z ----


def encrypted_7z(path):
    """A 7z whose only file is said to be encrypted by AES."""
    packed = os.urandom(16)
    coder = bytes([0x24]) + b"\x06\xf1\x07\x01" + bytes([2, 0x53, 0x07])  # id of 4 bytes, properties
    streams = (b"\x06\x00\x01\x09\x10\x00" +                         # one packed stream of 16 bytes
               b"\x07\x0b\x01\x00" + b"\x01" + coder + b"\x0c\x10\x00" +  # one folder, 16 bytes unpacked
               b"\x08\x0a\x01" + struct.pack("<I", 0) + b"\x00" + b"\x00")
    name = b"\x00" + "data".encode("utf-16-le") + b"\0\0"
    files = b"\x05\x01\x11" + bytes([len(name)]) + name + b"\x00"
    table = b"\x01\x04" + streams + files + b"\x00"
    start = struct.pack("<QQI", len(packed), len(table), zlib.crc32(table))
    path.write_bytes(b"7z\xbc\xaf\x27\x1c\0\4" + struct.pack("<I", zlib.crc32(start)) + start + packed + table)
    return path


class Libarchive:
    """Writes what Python cannot: 7z, and compressions that it has no module for."""

    def __init__(self):
        self.library = ctypes.CDLL(ctypes.util.find_library("archive") or "libarchive.so.13")
        for name in ("archive_write_new", "archive_entry_new"):
            getattr(self.library, name).restype = ctypes.c_void_p
        self.library.archive_error_string.restype = ctypes.c_char_p

    def call(self, name, *arguments):
        function = getattr(self.library, name)
        return function(*(ctypes.c_void_p(a) if isinstance(a, int) and a > 1 << 40 else a
                          for a in arguments))

    def write(self, path, form, compression, files):
        """Files are {name: bytes}, or {name: text} for a symbolic link."""
        archive = self.call("archive_write_new")
        assert self.call(f"archive_write_set_format_{form}", archive) == 0
        if compression:
            status = self.call(f"archive_write_add_filter_{compression}", archive)
            if status != 0:
                pytest.skip(f"this libarchive writes no {compression}")
        assert self.call("archive_write_open_filename", archive, os.fsencode(path)) == 0
        for name, data in files.items():
            entry = self.call("archive_entry_new")
            link = isinstance(data, str)
            self.call("archive_entry_set_pathname_utf8", entry, name.encode())
            self.call("archive_entry_set_filetype", entry, stat.S_IFLNK if link else stat.S_IFREG)
            if link:
                self.call("archive_entry_set_symlink_utf8", entry, data.encode())
                data = b""
            self.call("archive_entry_set_perm", entry, 0o644)
            self.call("archive_entry_set_mtime", entry, ctypes.c_int64(1_000_000_000), ctypes.c_long(0))
            self.call("archive_entry_set_size", entry, ctypes.c_int64(len(data)))
            assert self.call("archive_write_header", archive, entry) == 0, \
                self.call("archive_error_string", archive)
            self.library.archive_write_data.restype = ctypes.c_ssize_t
            assert self.call("archive_write_data", archive, data, ctypes.c_size_t(len(data))) == len(data)
            self.call("archive_entry_free", entry)
        assert self.call("archive_write_free", archive) == 0
        return path
