"""What the first host tells the others if it fails in a way that nobody foresaw, and what it leaves."""

import threading
import time
import types

import pytest

from tests.sagemaker.fake_jobs import need_programs
from tests.sagemaker.test_entry_link import TOKEN, free_port

import container_leader  # isort: skip
import container_link  # isort: skip


def test_the_others_are_told_the_text_of_an_unforeseen_failure(tmp_path, monkeypatch):
    need_programs("ssh-keygen")
    keys, port, events = tmp_path / "keys", free_port(), container_link.new_events()
    keys.mkdir()
    monkeypatch.setattr(container_leader, "key_folder", lambda: keys)

    class Broken:
        def __init__(self, ready, events, children, link, folder):
            self._link = link

        def run(self):
            deadline = time.monotonic() + 20
            while self._link.missing and time.monotonic() < deadline:
                time.sleep(0.05)
            raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(container_leader, "_Leader", Broken)
    description = types.SimpleNamespace(hosts=("algo-1", "algo-2"), token=TOKEN)
    ready = types.SimpleNamespace(description=description, link_port=port, lost_seconds=30)
    raised = []

    def lead():
        with pytest.raises(ZeroDivisionError) as found:
            container_leader.lead(ready, container_link.new_events(), set())
        raised.append(found)

    leader = threading.Thread(target=lead)
    leader.start()
    hello = {"token": TOKEN, "host": "algo-2", "processes": 1}
    other = container_link.OtherHost("127.0.0.1", port, hello, events, 30, time.monotonic() + 20)
    assert events.get(timeout=20).kind == "welcome"
    told = events.get(timeout=30)
    other.close()
    leader.join(30)
    reason = "a fault of awsdet itself: ZeroDivisionError: division by zero"
    assert (told.kind, told.content) == ("done", {"code": 1, "reason": reason})
    assert raised and not keys.exists()
