"""Mutants of every format that is read: a few bytes or fields are changed, and checksums and hashes made right again.

Each is read in a child process with little memory and little time. What can be read must be what a plain reader gives.
"""

import io
import json
import random
import struct
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from qi_datasets.storage.manifest import MANIFEST
from qi_datasets.storage.manifest_file import text_of
from tests import pictures
from tests.faults.readers import SECONDS

MEMORY = 1 << 30
ODD_NUMBERS = (0, 1, 255, 256, 65535, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1)


def flipped(data: bytes, rng: random.Random, most: int = 6) -> bytes:
    """Returns data with some bytes changed, and perhaps a piece cut out, doubled, or the end cut off."""
    changed = bytearray(data)
    for _ in range(rng.randrange(1, most)):
        changed[rng.randrange(len(changed))] = rng.choice((0, 255, rng.randrange(256)))
    kind, at = rng.randrange(8), rng.randrange(len(changed))
    if kind == 0:
        del changed[at : at + rng.randrange(200)]
    elif kind == 1:
        changed[at:at] = changed[at : at + rng.randrange(200)]
    elif kind == 2:
        del changed[at:]
    return bytes(changed)


def jpegs(rng: random.Random) -> bytes:
    """Returns a JPEG file, often with damage among its tables, which come first."""
    data = pictures.KINDS[rng.choice((0, 1, 2, 3, 5))](pictures.picture(rng.randrange(20)))
    if rng.random() < 0.5:
        return flipped(data[:700], rng) + data[700:]
    return flipped(data, rng)


def pngs(rng: random.Random) -> bytes:
    """Returns a PNG file whose chunks have right checksums."""
    kind = rng.choice(({}, {"optimize": True}, {"compress_level": 0}))
    image = pictures.picture(rng.randrange(20), (40, 30))
    data = pictures.encoded(image.convert(rng.choice(("RGB", "L", "P", "RGBA", "LA", "1"))), "PNG", **kind)
    chunks = []
    at = 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    for _ in range(rng.randrange(1, 4)):
        number = rng.randrange(len(chunks))
        name, content = chunks[number]
        action = rng.randrange(6)
        if action == 0 and content:
            content = flipped(content, rng, 4)
        elif action == 1 and name == b"IHDR":
            where, value = rng.choice(((0, 4), (4, 4), (8, 1), (9, 1), (12, 1))), rng.choice(ODD_NUMBERS)
            content = content[: where[0]] + (value % 256 ** where[1]).to_bytes(where[1]) + content[sum(where) :]
        elif action == 2 and name == b"IDAT":
            with suppress(zlib.error):  # damaged or cut off by now
                content = zlib.compress(flipped(zlib.decompress(content), rng))
        elif action == 3:
            chunks.insert(number, chunks[rng.randrange(len(chunks))])
        elif action == 4:
            name = rng.choice((b"tRNS", b"PLTE", b"acTL", b"fcTL", b"iCCP", b"zTXt", b"eXIf", b"gAMA", b"sBIT", name))
        else:
            content += rng.randbytes(rng.randrange(20))
        chunks[number] = name, content
    return data[:8] + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def tars(rng: random.Random) -> bytes:
    """Returns a tar whose headers have right checksums."""
    file = io.BytesIO()
    form = rng.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        for number in range(1, 5):
            content = pictures.encoded(pictures.picture(number, (20, 15)))
            folder = "long/" * rng.choice((0, 1, 40))
            member = tarfile.TarInfo(f"{folder}{pictures.name_of(number)}.JPEG")
            member.size = len(content)
            if form == tarfile.PAX_FORMAT and rng.random() < 0.5:
                member.pax_headers = {"comment": "x" * rng.randrange(600)}
            tar.addfile(member, io.BytesIO(content))
    data = bytearray(file.getvalue())
    headers = [at for at in range(0, len(data), 512) if data[at + 257 : at + 262] == b"ustar"]
    for _ in range(rng.randrange(1, 4)):
        at = rng.choice(headers)
        action = rng.randrange(6)
        if action == 0:
            size = rng.choice((-1, -512, -1024, 1 << 40, 1 << 62, 1 << 80, 511, rng.randrange(4000)))
            data[at + 124 : at + 136] = (
                size.to_bytes(12, "big", signed=True) if size < 0 else b"\x80" + size.to_bytes(11, "big")
            )
        elif action == 1:
            data[at + 156] = rng.choice(b"0125LKxgSDV7\0")
        elif action == 2:
            data[at + rng.randrange(512)] = rng.randrange(256)
        elif action == 3:
            data[at + 124 : at + 136] = rng.choice(
                (b"-0000000512\0", b"9" * 12, b"\xff" * 12, b" " * 12, b"77777777777\0")
            )
        elif action == 4:
            place = at + 512 + rng.randrange(512)
            data[place : place + 4] = rng.randbytes(4)
        else:
            data[at:at] = data[at : at + 512] * rng.choice((1, 3, 1500))
            headers = [header for header in headers if header <= at]
    for at in range(0, len(data) - 511, 512):
        if data[at + 257 : at + 262] == b"ustar":
            data[at + 148 : at + 156] = b" " * 8
            data[at + 148 : at + 156] = f"{sum(data[at : at + 512]):06o}\0 ".encode()
    return bytes(data)


def parquets(rng: random.Random) -> bytes:
    """Returns a shard with damage in its pages or in its metadata, or with columns of other types."""
    rows = [
        (f"{pictures.name_of(n)}_n01440764.JPEG", pictures.encoded(pictures.picture(n, (9, 8)))) for n in range(1, 9)
    ]
    if rng.random() < 0.2:
        kinds = (pa.binary(), pa.string(), pa.int64(), pa.list_(pa.uint8()), pa.large_binary(), pa.bool_())
        data, name = rng.choice(kinds), rng.choice(kinds)
        cells = [{"bytes": value_of(data, content), "path": value_of(name, path.encode())} for path, content in rows]
        file = io.BytesIO()
        pq.write_table(pa.table({"image": pa.array(cells, pa.struct({"bytes": data, "path": name}))}), file)
        return file.getvalue()
    data = pictures.shard(rows)
    footer = struct.unpack_from("<I", data, len(data) - 8)[0]
    if rng.random() < 0.6:
        start = len(data) - 8 - footer
        return data[:start] + fixed(flipped(data[start : len(data) - 8], rng)) + b""
    return flipped(data[4:-8], rng).join((data[:4], data[-8:]))


def value_of(kind: pa.DataType, value: bytes) -> object:
    """Returns `value`, in a type."""
    if kind in (pa.binary(), pa.large_binary()):
        return value
    if kind == pa.string():
        return value.hex()
    return list(value[:5]) if pa.types.is_list(kind) else len(value) if kind == pa.int64() else True


def fixed(footer: bytes) -> bytes:
    """Returns a Parquet footer with its length and magic."""
    return footer + struct.pack("<I", len(footer)) + b"PAR1"


def manifests(text: str, rng: random.Random) -> bytes:
    """Returns a manifest with bytes changed, or with values changed and its own digest made right."""
    if rng.random() < 0.4:
        return flipped(text.encode(), rng)
    content = json.loads(text)
    for _ in range(rng.randrange(1, 3)):
        place, key = rng.choice(list(places(content)))
        others = (None, True, -1, 0.5, 1 << 70, "", "..", "/dev/zero", "a\0b", "\ud800", [], {}, [[[[]]]], "x" * 10_000)
        action = rng.randrange(4)
        if action == 0 and isinstance(place, dict):
            place[rng.choice(("", "../x", "new", "test", "border_0"))] = place.pop(key)
        elif action == 1:
            del place[key]
        elif action == 2:
            place[key] = rng.choice(list(places(content)))[0]
            if "Circular" in looped(content):
                place[key] = None
        else:
            place[key] = rng.choice(others)
        if not list(places(content)):
            break
    try:
        return text_of(content).encode()
    except UnicodeEncodeError:
        return json.dumps(content).encode()


def looped(content: object) -> str:
    """Returns why a value is not JSON; "" if it is."""
    try:
        json.dumps(content)
    except (ValueError, RecursionError) as error:
        return f"Circular: {error}"
    return ""


def places(content: object) -> Iterator[tuple[object, object]]:
    """Yields every container in a JSON value with each of its keys."""
    pairs = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in list(pairs):
        yield content, key
        yield from places(value)


CHILD = """
import resource, sys
from pathlib import Path
from tests.faults.readers import READERS, read_all
good = Path(sys.argv[2], "good")
if good.exists():  # libraries that are imported on first use take address space, but no memory
    READERS[sys.argv[1]](good)
used = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + {memory}, used + {memory}))
read_all(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
"""


def mutants(kind: str, count: int, seed: int, folder: Path) -> str:
    """Reads mutants of a format. Raises AssertionError for a traceback, a hang, much memory, or wrong pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(f"{seed}/{kind}")
    make: Callable[[random.Random], bytes]
    if kind == "manifest":
        place = pictures.flat(pictures.album(15), folder / "pictures")
        from tests.faults.processes import run

        options = ("--set", "qi", "--per-split", 2, "--border", 16, "--quiet", "--output", folder / "set")
        assert run("qi-build", "--imagenet-val", place, *options)[0] == 0
        text = (folder / "set" / "qi" / MANIFEST).read_text()
        (folder / "good").write_text(text)
        make = lambda rng: manifests(text, rng)  # noqa: E731
    else:
        make = {"jpeg": jpegs, "png": pngs, "tar": tars, "parquet": parquets}[kind]
    for number in range(count):
        (folder / f"{number:05d}").write_bytes(make(rng))
    taken: dict[str, int] = {}
    start = 0
    while start < count:
        # A child reads on until one mutant is too much for it, which then is the last that it named.
        command = [sys.executable, "-c", CHILD.format(memory=MEMORY), kind, str(folder), str(start)]
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            done = subprocess.run(
                command,
                stdout=out,
                stderr=err,
                check=False,
                cwd=Path(__file__).parents[2],
                timeout=SECONDS * 20 + count,
            )
            out.seek(0)
            err.seek(0)
            lines, errors = out.read().splitlines(), err.read()
        for line in lines:
            taken[line] = taken.get(line, 0) + 1
        start += len(lines)
        assert done.returncode == 0, f"{kind} mutant {folder}/{start:05d}: exit {done.returncode}\n{errors[-1500:]}"
    return f"{count} mutants of {kind}: {taken}; no traceback, none over {SECONDS} s or 1 GiB, no wrong pixels"
