"""RayServices: reward service and labeling in processes of Ray, watched."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, cast

import ray
from ray.exceptions import RayError, RayTaskError

from cluster.interfaces import ASIDES, Collected
from cluster.ray_member import (
    Gathered,
    end_actor,
    is_done,
    local_process,
    raise_cause,
    raise_if_unbuildable,
    reason_of,
)
from cluster.supervise import ComponentFailure, Life, Tell


class RayServices:
    """The service hosts: one that dies or is stuck is started again, one whose service failed ends the run. A
    `Services`.

    They begin to work once all of them are built: nothing is asked before there is a reward service that learns from
    the answers. Until then they take in what they are shown; one that is started again later does not wait.

    Nothing here waits for a host. Once the agent learns, a few observations a second are enough for statistics and for
    clips; more are dropped, and so is one that comes while the one before is still being taken in. (With one a second,
    clips that were asked about were up to 160,000 steps old where the agent makes 20,000 a second.)"""

    OBSERVE_EVERY_S = 0.25

    def __init__(
        self, start: dict[str, Callable[[], Any]], lives: dict[str, Life], gathered: Gathered, tell: Tell
    ) -> None:
        """`tell` is told the traceback of a defect that ends a service, and with it the run."""
        self._start, self._lives, self._gathered, self._tell = start, lives, gathered, tell
        self._hosts: dict[str, Any] = {}
        self._observing: dict[str, Any] = {}
        self._shown: dict[str, int] = {}  # how many rounds of rollouts a host was given, or passed by
        self._asking: dict[str, Any] = {}
        self._asking_s: dict[str, float] = {}  # since when
        self._start_at_s: dict[str, float] = {}  # those that wait for their next start
        self._status: dict[str, dict[str, Any]] = {}
        self._asked_s = time.monotonic()
        self._observed_s = -math.inf
        self._hurried = False
        self._has_begun = False
        for name in start:
            self._begin(name)

    def lives(self) -> list[Life]:
        return list(self._lives.values())

    def observe(self, collected: Collected, agent_steps: int) -> None:
        del collected  # the hosts fetch the same rollouts from the object store themselves
        if not self._has_begun:
            self.advance()  # while the untrained policy acts nobody else asks whether they are built
        if not self._hurried and time.monotonic() - self._observed_s < self.OBSERVE_EVERY_S:
            return
        self._observed_s = time.monotonic()
        for name, host in self._hosts.items():
            if self._has_observed(name):
                references = self._gathered.since(self._shown.get(name, 0))
                self._observing[name] = host.observe.remote(agent_steps, *references)
                self._shown[name] = self._gathered.rounds

    def _has_observed(self, name: str) -> bool:
        """Whether the host has taken in what it was given last. Raises what kept it from that."""
        if self._observing[name] is None:
            return True
        if not is_done(self._observing[name]):
            return False
        try:
            ray.get(self._observing[name])
        except RayTaskError as error:
            if not isinstance(error.cause, RayError):
                raise_cause(error)
        except RayError:
            pass  # the rollouts went with their node: there will be others. Or the host did, which `advance` notices
        return True

    def advance(self) -> None:
        now_s = time.monotonic()
        if now_s - self._asked_s < 0.2:
            return
        self._asked_s = now_s
        for name, at_s in list(self._start_at_s.items()):
            if now_s >= at_s:
                self._begin(name)
        for name in list(self._hosts):
            if is_done(self._asking[name]):
                self._take_status(name)
            elif now_s - self._asking_s[name] > self._lives[name].patience_s:
                self._end_stuck(name)

    def _take_status(self, name: str) -> None:
        try:
            status: dict[str, Any] = cast(Any, ray.get(self._asking[name]))
        except RayTaskError as error:
            raise_cause(error)
        except RayError as error:
            self._gone(name, error)
            return
        self._status[name] = status
        if not self._has_begun and self._status.keys() == self._start.keys():
            self._has_begun = True
            for host in self._hosts.values():
                host.begin.remote()
        life = self._lives[name]
        if status["failure"]:
            if status["traceback"]:
                self._tell(life.name, status["traceback"])
            raise ComponentFailure(f"the {name} stopped: {status['failure']}")
        life.heard(status["done"])
        life.process_id = local_process(status["process"])
        # The answer may be as old as the question, which was perhaps asked before a long update of the policy.
        life.listened(time.monotonic() - self._asking_s[name])
        if life.is_stuck:
            self._end_stuck(name)
        else:
            self._ask(name)

    def _ask(self, name: str) -> None:
        self._asking[name] = self._hosts[name].status.remote()
        self._asking_s[name] = time.monotonic()

    def _end_stuck(self, name: str) -> None:
        life = self._lives[name]
        end_actor(self._hosts[name], life.process_id)
        self._lost(name, f"it had done nothing for {life.silent_s:.0f} s")

    def _gone(self, name: str, error: RayError) -> None:
        """Its process is, whatever ended it: one that Ray ends since memory is short is no RayActorError."""
        raise_if_unbuildable(name, error)
        self._lost(name, reason_of(error))

    def _lost(self, name: str, why: str) -> None:
        life = self._lives[name]
        life.ended(why)
        del self._hosts[name]
        self._start_at_s[name] = time.monotonic() + life.pause_s
        if life.pause_s == 0.0:
            self._begin(name)

    def _begin(self, name: str) -> None:
        self._start_at_s.pop(name, None)
        self._hosts[name] = self._start[name]()
        self._observing[name] = None
        self._ask(name)
        self._lives[name].started()
        if self._has_begun:
            self._hosts[name].begin.remote()
        if self._hurried:
            self._hosts[name].hurry.remote(True)

    def metrics(self) -> dict[str, float]:
        merged: dict[str, float] = {"services_restarted": float(sum(life.restarts for life in self._lives.values()))}
        for status in self._status.values():
            merged.update({name: value for name, value in status["metrics"].items() if name not in ASIDES})
        return merged

    def reach(self, agent_steps: int) -> None:
        for host in self._hosts.values():
            host.reach.remote(agent_steps)

    def hurry(self, hurried: bool) -> None:
        self._hurried = hurried
        for host in self._hosts.values():
            host.hurry.remote(hurried)

    def forget(self) -> None:
        self._observed_s = -math.inf  # they have nothing now: show them the next rollout at once
        for host in self._hosts.values():
            host.forget.remote()

    def state_dict(self) -> dict[str, Any]:
        return {name: self._call(name, "state_dict") for name in self._start}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in self._start:
            self._call(name, "load_state_dict", state[name])

    def _call(self, name: str, method: str, *args: Any) -> Any:
        """Call a host and wait; where it has died or is stuck, ask the one that takes its place."""
        while True:
            if name not in self._hosts:
                time.sleep(max(0.0, self._start_at_s[name] - time.monotonic()))
                self._begin(name)
            host = self._hosts[name]
            reply = getattr(host, method).remote(*args)
            while not is_done(reply):
                time.sleep(0.01)
                self.advance()
            try:
                return ray.get(reply)
            except RayTaskError as error:
                raise_cause(error)
            except RayError as error:
                if self._hosts.get(name) is host:  # else it was noticed while we waited
                    self._gone(name, error)
