#!/usr/bin/env python3
"""Puts PNG files of 8-bit red, green and blue on one sheet, half as large: contact_sheet.py SHEET COLUMNS PICTURE..."""
import struct
import sys
import zlib

GAP = 6


def read(path):
    """Rows of bytes, and the width."""
    data = open(path, "rb").read()
    at, packed, width, height = 8, b"", 0, 0
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
            if (depth, colour) != (8, 2):
                sys.exit(f"only 8-bit red, green and blue can be read: {path}")
        elif kind == b"IDAT":
            packed += body
        at += length + 12
    raw, stride, rows = zlib.decompress(packed), 3 * width, []
    before = bytes(stride)
    for number in range(height):
        filtered = raw[number * (stride + 1) : (number + 1) * (stride + 1)]
        before = unfilter(filtered[0], bytearray(filtered[1:]), before)
        rows.append(before)
    return rows, width


def unfilter(kind, row, above):
    """A row as it was (PNG specification, section 9)."""
    for i in range(len(row) if kind else 0):
        left, up = row[i - 3] if i >= 3 else 0, above[i]
        corner = above[i - 3] if i >= 3 else 0
        if kind == 1:
            guess = left
        elif kind == 2:
            guess = up
        elif kind == 3:
            guess = (left + up) // 2
        else:
            ends = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
            guess = (left, up, corner)[ends.index(min(ends))]
        row[i] = (row[i] + guess) & 255
    return row


def half(rows, width):
    """Means of squares of two by two pixels."""
    small = []
    for one, other in zip(rows[::2], rows[1::2]):
        line = bytearray()
        for x in range(0, 3 * (width - width % 2), 6):
            for i in (x, x + 1, x + 2):
                line.append((one[i] + one[i + 3] + other[i] + other[i + 3] + 2) // 4)
        small.append(line)
    return small, width // 2


def main(sheet, columns, paths):
    pictures = [half(*read(path)) for path in paths]
    lines = [pictures[first : first + columns] for first in range(0, len(pictures), columns)]
    width = max(sum(own + GAP for _, own in line) for line in lines) + GAP
    grey = b"\xd0\xd0\xd0"
    rows = [grey * width] * GAP
    for line in lines:
        for y in range(max(len(own) for own, _ in line)):
            row = bytearray(grey * GAP)
            for own, wide in line:
                row += (own[y] if y < len(own) else grey * wide) + grey * GAP
            rows.append(row + grey * (width - len(row) // 3))
        rows += [grey * width] * GAP
    body = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows), 9)
    with open(sheet, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        header = struct.pack(">IIBBBBB", width, len(rows), 8, 2, 0, 0, 0)
        for kind, part in ((b"IHDR", header), (b"IDAT", body), (b"IEND", b"")):
            file.write(struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part)))


if len(sys.argv) < 4:
    sys.exit(__doc__)
main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
