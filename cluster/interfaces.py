"""The two interfaces behind which Ray may stand (`ray_pool`, `elastic_pool`, `ray_services`), or nothing at all
(`in_process`)."""

from __future__ import annotations

from typing import Any, Protocol

from actors.trajectory import Hidden, Rollout
from actors.weights import PolicyWeights
from cluster.supervise import Life

Collected = list[tuple[Rollout, Hidden]]

LABELING, REWARD_SERVICE = "labeling", "reward service"
"""The services by name, wherever they run: to people, and in checkpoints."""

ASIDES = ("waiting", "behind", "num_read")
"""Of a service's metrics those that are for its host: there was nothing to do; it has done too little so far, for so
many entries of the log."""


class RolloutPool(Protocol):
    """All rollout workers. `submit` starts one rollout on each; `gather` returns them, in worker order. Where workers
    come and go, of those that are there, at least one."""

    def submit(self, weights: PolicyWeights) -> None: ...

    def gather(self) -> Collected: ...

    def restart(self, generation: int) -> None:
        """Drop what is in flight and start all episodes anew, with seeds that follow from `generation`."""
        ...

    def close(self) -> None:
        """The run is over, however it ended: drop what is in flight, and leave no thread or process behind."""
        ...

    def lives(self) -> list[Life]:
        """What is known of each worker that has a process of its own."""
        ...

    @property
    def size(self) -> int:
        """Workers at present."""
        ...

    @property
    def replaced(self) -> int:
        """Workers that died and were replaced so far."""
        ...


class Services(Protocol):
    """Reward service and labeling, wherever they run."""

    def observe(self, collected: Collected, agent_steps: int) -> None: ...

    def reach(self, agent_steps: int) -> None:
        """The run has come to this step, which may make labels due; `observe` says so too, but may be dropped."""
        ...

    def advance(self) -> None:
        """Let them work where they do not work by themselves; raise what they failed with."""
        ...

    def lives(self) -> list[Life]:
        """What is known of each service that has a process of its own."""
        ...

    def metrics(self) -> dict[str, float]: ...

    def hurry(self, hurried: bool) -> None:
        """While hurried they take in every rollout and use what they can of the machine: the agent waits for them."""
        ...

    def forget(self) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...
