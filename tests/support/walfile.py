"""Files of a data directory as schemas/wal.md describes them, for tests that damage them.

Shares no code with klog.
"""

import os
import struct

HEADER_BYTES = 4096
FRAME_HEADER_BYTES = 128
SALT_AT = 64
INCOMPATIBLE_BITS_AT = 16
WRITER_AT = 32


def _table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ 0x82F63B78 if n & 1 else n >> 1
        table.append(n)
    return table


_CRC = _table()


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def wal_path(data_dir, number):
    return os.path.join(data_dir, "wal", f"{number:020}.wal")


def wal_numbers(data_dir):
    return sorted(int(name[:20]) for name in os.listdir(os.path.join(data_dir, "wal"))
                  if name.endswith(".wal"))


def frames(path):
    """(offset, header_bytes, payload_bytes) of each frame, until something else stands there: a
    frame of another salt is left from an earlier use of the room."""
    found = []
    salt = None
    with open(path, "rb") as file:
        at = HEADER_BYTES
        while True:
            file.seek(at)
            header = file.read(FRAME_HEADER_BYTES)
            if len(header) < FRAME_HEADER_BYTES or header[:4] != b"KFRM":
                return found
            salt = salt or header[SALT_AT:SALT_AT + 8]
            if header[SALT_AT:SALT_AT + 8] != salt:
                return found
            header_bytes, = struct.unpack_from("<H", header, 6)
            payload_bytes, = struct.unpack_from("<I", header, 8)
            found.append((at, header_bytes, payload_bytes))
            at += (header_bytes + payload_bytes + 7) // 8 * 8


def end_of_frames(path):
    found = frames(path)
    if not found:
        return HEADER_BYTES
    at, header_bytes, payload_bytes = found[-1]
    return at + (header_bytes + payload_bytes + 7) // 8 * 8


def torn_frame(path, payload_bytes):
    """A frame's header and half of its payload, as if the power went while it was written behind
    the last one."""
    at = end_of_frames(path)
    with open(path, "rb") as file:
        file.seek(frames(path)[-1][0])
        header = bytearray(file.read(FRAME_HEADER_BYTES))
    struct.pack_into("<I", header, 8, payload_bytes)
    header[20:24] = header[12:16]  # the chain
    struct.pack_into("<Q", header, 32, at)
    seed = crc32c(header[SALT_AT:SALT_AT + 8])
    struct.pack_into("<I", header, 12, crc32c(header[16:], crc32c(header[:12], seed)))
    return bytes(header) + b"\x07" * (payload_bytes // 2)


def flip(path, offset, bits=0x20):
    """Changes one byte. Gives a function that puts it back."""
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ bits]))

    def mend():
        with open(path, "r+b") as file:
            file.seek(offset)
            file.write(byte)
    return mend


def make_newer(path, writer=b"klog 9.9.9"):
    """Makes a WAL file one of a later version: a feature bit that nobody knows, a sound checksum."""
    with open(path, "r+b") as file:
        header = bytearray(file.read(HEADER_BYTES))
        struct.pack_into("<Q", header, INCOMPATIBLE_BITS_AT, 1 << 40)
        header[WRITER_AT:WRITER_AT + 64] = writer.ljust(64, b"\0")
        struct.pack_into("<I", header, HEADER_BYTES - 4, crc32c(header[:HEADER_BYTES - 4]))
        file.seek(0)
        file.write(header)
