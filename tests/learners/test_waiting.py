"""A GPU works through its queue while the learner fills it; a number that the learner asks for empties the queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from actors.policy import ActorCritic, PolicyConfig
from actors.spaces import ActionSpec
from learners import a2c, ppo
from learners.a2c import A2C, A2CConfig
from learners.algorithm import Algorithm, Batch, as_floats
from learners.learner import Learner, LearnerConfig
from learners.ppo import PPO, PPOConfig
from learners.relabel import Relabeler
from learners.stacks import Stacks
from reward_service.ensemble import RewardEnsemble
from reward_service.ensemble_config import EnsembleConfig
from reward_service.snapshot import NothingPublished, SnapshotReader
from tests.learners.pictured import rollout

ASKED = {"_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "_unique2"}
"""Operations that hand a number, or a size, from the device to Python."""
INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_"}
"""Operations that do so where they are told by a mask which places are meant."""
HANDED_OVER = ("cpu", "item", "numpy", "tolist")
"""Methods that do the same; on a processor's tensors some of them are no operation at all."""
SIZE = 40


class Asked(TorchDispatchMode):
    """Notes them."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        places = [place for place in args[1] if place is not None] if name in INDEXED else []
        if name in ASKED or any(place.dtype in (torch.bool, torch.uint8) for place in places):
            self.names.append(name)
        return func(*args, **(kwargs or {}))


@contextmanager
def noting(asked: Asked) -> Iterator[None]:
    """The methods, too."""
    with pytest.MonkeyPatch.context() as patch, asked:
        for name in HANDED_OVER:
            method = getattr(Tensor, name)

            def noted(tensor: Tensor, *args: Any, name: str = name, method: Callable[..., Any] = method) -> Any:
                asked.names.append(name)
                return method(tensor, *args)

            patch.setattr(Tensor, name, noted)
        yield


def before_the_metrics(monkeypatch: pytest.MonkeyPatch, then: Callable[[], None]) -> None:
    """`then` is called when an update has nothing left to do but to hand over its metrics."""

    def handed_over(metrics: dict[str, Tensor]) -> dict[str, float]:
        then()
        return as_floats(metrics)

    for module in (ppo, a2c):
        monkeypatch.setattr(module, "as_floats", handed_over)


def algorithm_of(name: str, policy: ActorCritic) -> Algorithm:
    return PPO(PPOConfig(epochs=2, minibatch=16), policy, 0) if name == "ppo" else A2C(A2CConfig(), policy, 0)


def pictured(device: str) -> tuple[ActorCritic, Batch]:
    """A policy that sees pictures, and transitions of it."""
    policy = ActorCritic(PolicyConfig(torso="mnih-2013"), (4, 84, 84), ActionSpec(0, 6)).to(device)
    seen = Stacks.of_block(torch.randint(0, 256, (SIZE + 3, 1, 84, 84), dtype=torch.uint8, device=device), 4, SIZE)
    numbers = [torch.randn(SIZE, device=device) for _ in range(4)]
    return policy, Batch(seen, torch.randint(0, 6, (SIZE,), device=device), numbers[0] - 2, *numbers[1:])


def test_what_is_asked_for_is_noticed() -> None:
    with noting(asked := Asked()):
        float(torch.ones(3).sum())
        torch.ones(3).nonzero()
        torch.ones(3)[torch.ones(3, dtype=torch.bool)]
        torch.ones(3)[torch.ones(3, dtype=torch.int64)] = 2.0
        torch.ones(3)[torch.ones(3, dtype=torch.bool)] = 2.0
    assert asked.names[:2] == ["_local_scalar_dense", "nonzero"]
    assert [name.strip("_") for name in asked.names[2:]] == ["index", "index_put"]


@pytest.mark.parametrize("name", HANDED_OVER)
def test_what_is_handed_over_is_noticed_of_a_processors_tensor_too(name: str) -> None:
    with noting(asked := Asked()):
        getattr(torch.ones(1), name)()
    assert name in asked.names
    getattr(torch.ones(1), name)()
    assert asked.names.count(name) == 1, "and not once it is over"


@pytest.mark.parametrize("name", ["ppo", "a2c"])
def test_an_update_asks_for_no_number_until_it_is_over(
    policy: ActorCritic, batch: Batch, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _assert_silent(policy, batch, name, monkeypatch)


@pytest.mark.parametrize("name", ["ppo", "a2c"])
def test_an_update_from_pictures_asks_for_no_number_until_it_is_over(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _assert_silent(*pictured("cpu"), name, monkeypatch)


def _assert_silent(policy: ActorCritic, batch: Batch, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = algorithm_of(name, policy)
    algorithm.update(batch, 0.0)
    asked, until_then = Asked(), list[str]()
    before_the_metrics(monkeypatch, lambda: until_then.extend([*asked.names, "metrics"]))
    with noting(asked):
        metrics = algorithm.update(batch, 0.1)
    assert until_then == ["metrics"]
    assert asked.names == ["tolist"], "and then once"
    assert len(metrics) > 5


def whole_update(name: str, device: str) -> Callable[[], object]:
    """Relabelling, the critic's word, advantages, the value scale and the algorithm's update."""
    policy, _ = pictured(device)
    learner = Learner(LearnerConfig(), policy, algorithm_of(name, policy))
    ensemble = RewardEnsemble(EnsembleConfig(torso="small"), (4, 84, 84), policy.action).to(device)
    relabeler = Relabeler(SnapshotReader(NothingPublished(), ensemble), policy.action)
    rollouts = [rollout(((3, 1),), worker, depth=4, side=84) for worker in range(2)]
    return lambda: learner.step(rollouts, [relabeler.relabel(each)[0] for each in rollouts], 0.0)


@pytest.mark.parametrize("name", ["ppo", "a2c"])
def test_from_rollouts_to_metrics_nothing_is_asked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    update, asked, until_then = whole_update(name, "cpu"), Asked(), list[str]()
    before_the_metrics(monkeypatch, lambda: until_then.extend([*asked.names, "metrics"]))
    for _ in range(2):  # the value scale's first targets, and those that it follows
        with noting(asked):
            update()
    assert until_then == ["metrics", "tolist", "metrics"], "nothing but the first update's own metrics"
    assert asked.names == ["tolist", "tolist"]


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("name", ["ppo", "a2c"])
def test_a_gpu_is_not_waited_for_from_relabelling_to_the_metrics(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch itself refuses whatever would wait for it."""
    update = whole_update(name, "cuda")
    update()  # what is set up once may wait
    torch.cuda.synchronize()
    over: list[bool] = []

    def allow() -> None:
        torch.cuda.set_sync_debug_mode("default")
        over.append(True)

    before_the_metrics(monkeypatch, allow)
    try:
        torch.cuda.set_sync_debug_mode("error")
        update()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert over == [True]
