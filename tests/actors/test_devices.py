import numpy as np
import pytest
import torch

from actors.devices import OwnQueue, to_device

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")],
    ),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_an_array_arrives_as_it_is_and_is_left_alone(device: str, dtype: type) -> None:
    array = np.arange(24, dtype=dtype).reshape(2, 3, 4)
    array.flags.writeable = False
    arrived = to_device(array[:, 1:], torch.device(device))
    assert arrived.device.type == device
    assert arrived.cpu().numpy().dtype == dtype
    np.testing.assert_array_equal(arrived.cpu().numpy(), array[:, 1:])
    arrived.zero_()
    assert array.sum() == 276


@pytest.mark.parametrize("device", DEVICES)
def test_a_tensor_arrives_as_it_is(device: str) -> None:
    tensor = torch.arange(24).view(2, 3, 4)
    arrived = to_device(tensor, torch.device(device))
    torch.testing.assert_close(arrived.cpu(), tensor)
    torch.testing.assert_close(to_device(arrived, torch.device(device)).cpu(), tensor, msg="once it is there, too")
    assert to_device(tensor[:0], torch.device(device)).shape == (0, 3, 4)


def test_who_acts_on_a_processor_touches_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(*_: object, **__: object) -> None:
        raise AssertionError("a GPU was asked for")

    for name in ("current_device", "stream", "Stream", "_lazy_init"):
        monkeypatch.setattr(torch.cuda, name, touched)
    queue = OwnQueue(torch.device("cpu"))
    for _ in range(2):
        with queue():
            torch.ones(3).sum()
