import contextlib
import dataclasses
import json
import math
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from actors.origins import Origin
from actors.trajectory import Clip, Segment
from reward_service import codec
from reward_service.codec import CodecError, decode_clip, encode_clip

OBSERVATION_DTYPES = st.sampled_from(
    [np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.uint8), np.dtype(np.int16)]
)
FEATURES = hnp.array_shapes(min_dims=0, max_dims=3, max_side=4)


@st.composite
def clips(draw: st.DrawFn) -> Clip:
    steps = draw(st.integers(1, 6))
    observations = draw(hnp.arrays(draw(OBSERVATION_DTYPES), (steps, *draw(FEATURES))))
    actions = draw(st.one_of(hnp.arrays(np.float32, (steps, draw(st.integers(1, 4)))), hnp.arrays(np.int64, (steps,))))
    states = draw(hnp.arrays(np.float32, (steps, draw(st.integers(0, 3)))))
    lead = draw(hnp.arrays(actions.dtype, (draw(st.integers(0, 5)), *actions.shape[1:])))
    seeds = draw(hnp.arrays(np.int64, draw(st.integers(1, 3))))
    origin = draw(st.sampled_from([None, Origin(seeds, lead)]))
    name, true_return, version = draw(st.text(max_size=40)), draw(st.floats()), draw(st.integers())
    late_return = draw(st.none() | st.floats(allow_nan=False))
    return Clip(name, Segment(observations, actions), states, true_return, version, origin, late_return)


def parts(clip: Clip) -> tuple[np.ndarray, ...]:
    replay = (clip.origin.seeds, clip.origin.lead) if clip.origin else ()
    return clip.segment.observations, clip.segment.actions, clip.states, *replay


def small_clip() -> Clip:
    rng = np.random.default_rng(0)
    segment = Segment(rng.normal(size=(5, 3)).astype(np.float32), rng.normal(size=(5, 2)).astype(np.float32))
    return Clip("c1", segment, np.zeros((5, 0), np.float32), 1.5, 7)


def damaged(**changes: object) -> bytes:
    """The small clip's bytes with some header entries changed."""
    data = encode_clip(small_clip())
    length = struct.unpack_from("<I", data, 5)[0]
    header = json.dumps(json.loads(data[9 : 9 + length]) | changes).encode()
    return data[:5] + struct.pack("<I", len(header)) + header + data[9 + length :]


@given(clips())
@settings(deadline=None, max_examples=100)
def test_what_is_decoded_is_what_was_encoded(clip: Clip) -> None:
    back = decode_clip(encode_clip(clip))
    assert (back.clip_id, back.policy_version) == (clip.clip_id, clip.policy_version)
    assert back.true_return == clip.true_return or (math.isnan(back.true_return) and math.isnan(clip.true_return))
    assert back.late_return == clip.late_return
    for one, other in zip(parts(back), parts(clip), strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()
        assert one.flags.writeable


def test_arrays_of_any_memory_order_are_stored() -> None:
    plain = small_clip()
    observations = np.asfortranarray(plain.segment.observations).astype(">f4")
    clip = Clip("c1", Segment(observations, plain.segment.actions[:, ::-1]), plain.states, 1.5, 7)
    back = decode_clip(encode_clip(clip))
    np.testing.assert_array_equal(back.segment.observations, observations)
    np.testing.assert_array_equal(back.segment.actions, plain.segment.actions[:, ::-1])


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(CodecError):
        decode_clip(data)
    with pytest.raises(CodecError):
        decode_clip(codec._PREFIX.pack(codec.MAGIC, codec.FORMAT_VERSION, max(0, len(data) - 9)) + data)


def test_every_truncation_is_refused() -> None:
    data = encode_clip(small_clip())
    for length in range(len(data)):
        with pytest.raises(CodecError):
            decode_clip(data[:length])
    with pytest.raises(CodecError, match="too long"):
        decode_clip(data + b"x")


@given(st.data())
@settings(deadline=None, max_examples=200)
def test_a_changed_byte_is_a_codec_error_or_another_clip_never_anything_else(data: st.DataObject) -> None:
    changed = bytearray(encode_clip(small_clip()))
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(CodecError):
        decode_clip(bytes(changed))


def test_an_unknown_version_is_refused_by_its_number() -> None:
    data = bytearray(encode_clip(small_clip()))
    data[4] = 9
    with pytest.raises(CodecError, match="version 9"):
        decode_clip(bytes(data))


def test_clips_of_the_first_format_are_still_read() -> None:
    """Bytes that version 1 wrote, kept as they were."""
    header = (
        b'{"clip_id":"c1","policy_version":7,"true_return":"0x1.8000000000000p+0","arrays":['
        b'{"name":"observations","dtype":"<f4","shape":[2,1]},{"name":"actions","dtype":"<i8","shape":[2]},'
        b'{"name":"states","dtype":"<f4","shape":[2,0]}]}'
    )
    body = zlib.compress(np.array([0.5, -1.0], "<f4").tobytes() + np.array([3, 4], "<i8").tobytes())
    old = b"2CLP\x01" + struct.pack("<I", len(header)) + header + body
    clip = decode_clip(old)
    assert (clip.clip_id, clip.policy_version, clip.true_return, clip.origin) == ("c1", 7, 1.5, None)
    assert clip.segment.observations.ravel().tolist() == [0.5, -1.0]
    assert clip.segment.actions.tolist() == [3, 4]
    assert clip.states.shape == (2, 0)


def test_the_first_format_held_no_origin() -> None:
    clip = dataclasses.replace(small_clip(), origin=Origin(np.array([5]), np.zeros((0, 2), np.float32)))
    data = bytearray(encode_clip(clip))
    assert decode_clip(bytes(data)).origin is not None
    data[4] = 1
    with pytest.raises(CodecError, match="holds observations, actions, states, in this order"):
        decode_clip(bytes(data))


def test_an_origin_that_does_not_fit_is_refused() -> None:
    arrays = [
        {"name": name, "dtype": dtype, "shape": shape}
        for name, dtype, shape in (
            ("observations", "<f4", [5, 3]),
            ("actions", "<f4", [5, 2]),
            ("states", "<f4", [5, 0]),
            ("seeds", "<i8", [0]),
            ("lead", "<f4", [0, 2]),
        )
    ]
    with pytest.raises(CodecError, match="fit together"):
        decode_clip(damaged(arrays=arrays))


def test_python_objects_are_neither_written_nor_read() -> None:
    actions = np.array([[object()]] * 5)
    with pytest.raises(CodecError, match="dtype"):
        encode_clip(Clip("c1", Segment(small_clip().segment.observations, actions), small_clip().states, 0.0, 0))
    arrays = [{"name": name, "dtype": "|O", "shape": [5, 1]} for name in ("observations", "actions", "states")]
    with pytest.raises(CodecError, match="dtype"):
        decode_clip(damaged(arrays=arrays))


@pytest.mark.parametrize("shape", [[-1, 3], [2**40, 2**40], [0, 2**60], [2**31], [], [1] * 9, ["5"], None])
def test_absurd_shapes_are_refused_before_memory_is_taken(shape: object) -> None:
    arrays = [{"name": name, "dtype": "<f4", "shape": shape} for name in ("observations", "actions", "states")]
    with pytest.raises(CodecError):
        decode_clip(damaged(arrays=arrays))


def test_a_zip_bomb_is_cut_off() -> None:
    data = encode_clip(small_clip())
    length = struct.unpack_from("<I", data, 5)[0]
    bomb = data[: 9 + length] + zlib.compress(bytes(50_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(CodecError, match="too long"):
            decode_clip(bomb)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_clip_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "MAX_CLIP_BYTES", 50)
    with pytest.raises(CodecError, match="shorter clips"):
        encode_clip(small_clip())
