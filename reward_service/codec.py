"""Clips <-> bytes, for storage in Redis and for exports.

Layout, little-endian:

    4 bytes   magic "2CLP"
    1 byte    format version
    4 bytes   length of the header
    header    JSON: clip_id, policy_version, true_return and late_return (hexadecimal, exact; the latter may lack),
              and name, dtype, shape of each array
              an array is one of observations, actions, states; since version 2 also seeds, lead (trajectory.Origin);
              since version 3, in place of these, kept, since, begun (trajectory.Keyframe)
    rest      the arrays' raw bytes, one after the other in the header's order, zlib-compressed together

Why not np.savez: it stores zip members without bounds and its reader can be asked to unpickle. What arrives here
may come from another machine, so every length is checked before memory is taken for it.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from typing import Any

import numpy as np

from actors.failures import Failure
from actors.origins import Keyframe, Origin
from actors.trajectory import Clip, Segment

MAGIC = b"2CLP"
FORMAT_VERSION = 3
MAX_CLIP_BYTES = 64 * 1024 * 1024
MAX_HEADER_BYTES = 64 * 1024

_PREFIX = struct.Struct("<4sBI")
_NAMES = ("observations", "actions", "states")
_ORIGIN_NAMES = ("seeds", "lead")
_KEYFRAME_NAMES = ("kept", "since", "begun")
_KNOWN = {  # by version, the arrays that a clip may hold
    1: (_NAMES,),
    2: (_NAMES, _NAMES + _ORIGIN_NAMES),
    3: (_NAMES, _NAMES + _ORIGIN_NAMES, _NAMES + _KEYFRAME_NAMES),
}
_DTYPES = frozenset({"|b1", "|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2", "<f4", "<f8"})


class CodecError(Failure, ValueError):
    """The bytes are not a clip of this format, or the clip cannot be written in it."""


def encode_clip(clip: Clip) -> bytes:
    """The clip as bytes. Raises CodecError for a dtype or a size that decode_clip would refuse."""
    arrays: list[np.ndarray] = []
    described: list[dict[str, Any]] = []
    held = [clip.segment.observations, clip.segment.actions, clip.states]
    names = _NAMES
    match clip.origin:
        case Origin(seeds, lead):
            names, held = names + _ORIGIN_NAMES, [*held, seeds, lead]
        case Keyframe(state, lead, begun):
            names, held = names + _KEYFRAME_NAMES, [*held, state, lead, begun]
        case None:
            pass
    for name, array in zip(names, held, strict=True):
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(array.shape)
        if little.dtype.str not in _DTYPES:
            raise CodecError(f"{name} of clip {clip.clip_id} has dtype {array.dtype}, which clips cannot hold")
        arrays.append(little)
        described.append({"name": name, "dtype": little.dtype.str, "shape": list(little.shape)})
    if sum(array.nbytes for array in arrays) > MAX_CLIP_BYTES:
        raise CodecError(f"clip {clip.clip_id} is larger than {MAX_CLIP_BYTES} bytes: choose shorter clips")
    header = json.dumps(
        {
            "clip_id": clip.clip_id,
            "policy_version": int(clip.policy_version),
            "true_return": float(clip.true_return).hex(),
            **({} if clip.late_return is None else {"late_return": float(clip.late_return).hex()}),
            "arrays": described,
        },
        separators=(",", ":"),
    ).encode()
    if len(header) > MAX_HEADER_BYTES:
        raise CodecError(f"the header of clip {clip.clip_id[:80]} is larger than {MAX_HEADER_BYTES} bytes")
    body = zlib.compress(b"".join(array.tobytes() for array in arrays))
    return _PREFIX.pack(MAGIC, FORMAT_VERSION, len(header)) + header + body


def decode_clip(data: bytes) -> Clip:
    """The clip that encode_clip was given, with arrays of its own that may be written to.

    Raises CodecError for anything else: another version, truncated, oversized or altered bytes."""
    if len(data) < _PREFIX.size:
        raise CodecError(f"a clip needs at least {_PREFIX.size} bytes, got {len(data)}")
    magic, version, header_bytes = _PREFIX.unpack_from(data)
    if magic != MAGIC:
        raise CodecError("these bytes are not a twoclips clip")
    if version not in _KNOWN:
        raise CodecError(f"clip format version {version} is unknown: this twoclips reads up to {FORMAT_VERSION}")
    if header_bytes > MAX_HEADER_BYTES or _PREFIX.size + header_bytes > len(data):
        raise CodecError(f"the clip's header claims {header_bytes} bytes of {len(data)}")
    start = _PREFIX.size + header_bytes
    try:
        header = json.loads(data[_PREFIX.size : start])
        described = header["arrays"]
        names = tuple(entry["name"] for entry in described)
        if names not in _KNOWN[version]:
            raise CodecError(f"a clip holds {', '.join(_KNOWN[version][-1])}, in this order")
        kinds = [(_dtype(entry["dtype"]), _shape(entry["shape"])) for entry in described]
        clip_id, policy_version = str(header["clip_id"]), int(header["policy_version"])
        true_return = float.fromhex(header["true_return"])
        late_return = float.fromhex(header["late_return"]) if "late_return" in header else None
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        raise (
            error if isinstance(error, CodecError) else CodecError(f"the clip's header is damaged: {error}")
        ) from error
    observations, actions, states, *replay = _arrays(memoryview(data)[start:], kinds)
    try:
        origin = None
        if replay:
            origin = Origin(*replay) if names[3:] == _ORIGIN_NAMES else Keyframe(*replay)
        return Clip(clip_id, Segment(observations, actions), states, true_return, policy_version, origin, late_return)
    except (ValueError, TypeError) as error:
        raise CodecError(f"the clip's arrays do not fit together: {error}") from error


def _dtype(text: object) -> np.dtype:
    if not isinstance(text, str) or text not in _DTYPES:
        raise CodecError(f"a clip cannot hold dtype {str(text)[:20]}")
    return np.dtype(text)


def _shape(sizes: object) -> tuple[int, ...]:
    if not isinstance(sizes, list) or not all(isinstance(size, int) and size >= 0 for size in sizes):
        raise CodecError("an array's shape must be a list of sizes")
    # a leading zero would otherwise hide an absurd size behind a product of 0
    if not 1 <= len(sizes) <= 8 or math.prod(size or 1 for size in sizes) > MAX_CLIP_BYTES:
        raise CodecError("an array's shape is outside what a clip may hold")
    return tuple(sizes)


def _arrays(compressed: memoryview, kinds: list[tuple[np.dtype, tuple[int, ...]]]) -> list[np.ndarray]:
    lengths = [dtype.itemsize * math.prod(shape) for dtype, shape in kinds]
    total = sum(lengths)
    if total > MAX_CLIP_BYTES:
        raise CodecError(f"the clip claims {total} bytes, more than {MAX_CLIP_BYTES}")
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(compressed, total + 1)
    except zlib.error as error:
        raise CodecError(f"the clip's arrays are damaged: {error}") from error
    if len(raw) != total or not inflater.eof or inflater.unused_data:
        raise CodecError(f"the clip's arrays are truncated or too long: {total} bytes expected")
    buffer = bytearray(raw)  # writable, so that torch.from_numpy takes it without a warning
    arrays, offset = [], 0
    for (dtype, shape), length in zip(kinds, lengths, strict=True):
        array = np.frombuffer(buffer, dtype, math.prod(shape), offset) if length else np.empty(0, dtype)
        arrays.append(array.reshape(shape))
        offset += length
    return arrays
