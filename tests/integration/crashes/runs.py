"""Run a delivery, undisturbed or struck at one of its calls, and compare how the world ends."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sandbox.fault import Fault
from tests.integration.crashes.instances import Answer, Instance
from tests.integration.crashes.scenarios import Scenario
from tests.integration.crashes.states import State, differences, read_state
from tests.integration.crashes.strikes import Call
from tests.integration.crashes.worlds import Delivery, World

_HELD_S = 0.2
"""Much longer than a delivery takes from its last call to its acknowledgement."""

_NEXT_ID = "7000000000000002"

MOST_DELIVERIES = 4
"""The number of deliveries of a message within which it must be acknowledged."""


@dataclass(frozen=True, slots=True)
class Recording:
    """The calls, the answer and the result of an undisturbed delivery."""

    calls: tuple[Call, ...]
    answer: Answer
    state: State

    @property
    def line(self) -> dict[str, Any]:
        """The line that it wrote."""
        return self.answer.lines[-1]

    @property
    def numbers(self) -> range:
        """Numbers of the calls, from 1."""
        return range(1, len(self.calls) + 1)

    def number_writes(self) -> list[int]:
        """Return the numbers of the calls that may change the world."""
        return [number for number in self.numbers if self.calls[number - 1].is_write]


class Runs:
    """All runs of one scenario; each begins in the same world."""

    def __init__(self, world: World, scenario: Scenario) -> None:
        self._world = world
        self._delivery = scenario.prepare(world)
        self._follows = scenario.follows
        self._weighs = scenario.weighs
        self._recurs = scenario.function == "scheduled_sweep"
        self._later: State | None = None
        self._restore = world.cloud.save()
        jobs = world.api.list("jobs.batch", "prestream")
        self._uids = {each["metadata"]["uid"] for each in jobs}
        self._published = len(world.references())
        self.recording = self._record()

    def kill_before(self, number: int) -> list[str]:
        """Kill the process when a call arrives; return how the world ends differently."""
        with self._world.instance(self._delivery) as instance:

            def strike() -> Fault:
                instance.kill()
                return Fault("", status=0)

            answer = self._disturb(instance, number, strike)
        assert answer is None, f"it was not killed: {answer}"
        return self._end()

    def kill_before_acknowledgement(self) -> list[str]:
        """Kill the process after all calls; return how the world ends differently."""
        with self._world.instance(self._delivery) as instance:
            answer = self._disturb(instance, 0, lambda: None)
            assert answer is not None
            instance.kill()
        return self._end()

    def lose_answer(self, number: int, *, is_done: bool, is_fresh: bool) -> list[str]:
        """Lose the answer to a call, done or not; return how the world ends differently."""
        with self._world.instance(self._delivery) as instance:
            lost = Fault("", status=0, applied=is_done)
            answer = self._disturb(instance, number, lambda: lost)
            assert answer is not None
            if not is_fresh:
                for _ in range(MOST_DELIVERIES):
                    if answer.is_acknowledged:
                        break
                    again = instance.deliver(self._world.envelope(self._delivery))
                    assert again is not None
                    answer = again
                assert answer.is_acknowledged, answer.lines
        found = self._end(is_settled=answer.is_acknowledged)
        return self._after_the_next() if found and self._recurs else found

    def overtake(self, number: int) -> list[str]:
        """
        Let the message come again, and be settled, while a call is under way.

        This happens if a delivery takes longer than Pub/Sub waits. Return how the world ends
        differently.
        """
        with self._world.instance(self._delivery) as instance:

            def strike() -> None:
                self._world.deliver(self._delivery)

            answer = self._disturb(instance, number, strike)
        assert answer is not None
        return self._end(is_settled=answer.is_acknowledged)

    def is_acknowledged_before(self, number: int) -> bool:
        """Delay the answer to a call; return whether the delivery ends before it."""
        answered = threading.Event()
        seen: list[bool] = []

        def strike() -> None:
            seen.append(answered.wait(_HELD_S))

        with self._world.instance(self._delivery) as instance:
            self._disturb(instance, number, strike, answered.set)
        return seen[0]

    def _record(self) -> Recording:
        with self._world.instance(self._delivery) as instance, self._world.strikes.noting() as seen:
            answer = instance.deliver(self._world.envelope(self._delivery))
        assert answer is not None
        assert answer.is_acknowledged, answer.lines
        return Recording(tuple(seen), answer, self._read())

    def _disturb(
        self,
        instance: Instance,
        number: int,
        strike: Callable[[], Fault | None],
        when_answered: Callable[[], None] = lambda: None,
    ) -> Answer | None:
        self._restore()
        with self._world.strikes.noting(number, strike) as seen:
            answer = instance.deliver(self._world.envelope(self._delivery))
            when_answered()
        assert len(seen) >= number, f"call {number} did not come: {seen}"
        return answer

    def _end(self, *, is_settled: bool = False) -> list[str]:
        """Deliver again unless the message is settled, and return how the world differs."""
        answer: Answer | None = None
        for _ in range(MOST_DELIVERIES):
            if is_settled:
                break
            with self._world.instance(self._delivery) as instance:
                answer = instance.deliver(self._world.envelope(self._delivery))
            assert answer is not None
            is_settled = answer.is_acknowledged
        if not is_settled:
            return [f"the message is not acknowledged: {answer}"]
        return differences(self.recording.state, self._read())

    def _after_the_next(self) -> list[str]:
        """Return the differences after the next sweep, which completes this one."""
        ended = self._sweep_again()
        if self._later is None:
            self._restore()
            self._world.deliver(self._delivery)
            self._later = self._sweep_again()
        kinds = ("references",) if self._weighs else tuple(ended)
        return differences({k: self._later[k] for k in kinds}, {k: ended[k] for k in kinds})

    def _sweep_again(self) -> State:
        following = replace(self._delivery, message_id=_NEXT_ID)
        self._world.deliver(following)
        # A sweep is the cause of its requests.
        text = json.dumps(self._read()).replace(_NEXT_ID, self._delivery.message_id)
        state: State = json.loads(text)
        return state

    def _read(self) -> State:
        self._follow()
        return read_state(self._world.cloud, self._uids)

    def _follow(self) -> None:
        """Deliver the published references, and those that they lead to, under their own ids."""
        done = self._published
        while self._follows and done < len(messages := self._world.references()):
            message = messages[done]
            done += 1
            config = self._delivery.config
            self._world.deliver(
                Delivery(
                    "image_reference", message.data, message.attributes, config, message.message_id
                )
            )
