"""The store of the launcher, with the client that the ranks use."""

import http.client

import pytest

from awsdet.launch.store import LONGEST_VALUE, Store
from awsdet.runtime.stall import STORE, KeyValueStore


@pytest.fixture
def store():
    store = Store("127.0.0.1", "token")
    yield store
    store.close()


def test_ranks_find_the_store_and_keep_texts_there(store, monkeypatch):
    monkeypatch.delenv("HOROVOD_GLOO_RENDEZVOUS_ADDR", raising=False)
    monkeypatch.setenv(STORE, store.place)
    rank, other = KeyValueStore.find(), KeyValueStore.find()
    assert rank.get("1") is None
    rank.put("1", "7 8 host")
    assert other.get("1") == "7 8 host"
    other.put("1", "8 9 host")
    assert rank.get("1") == "8 9 host" and rank.get("2") is None


def test_horovodruns_own_store_comes_first(store, monkeypatch):
    monkeypatch.setenv(STORE, store.place)
    monkeypatch.setenv("HOROVOD_GLOO_RENDEZVOUS_ADDR", "127.0.0.1")
    monkeypatch.setenv("HOROVOD_GLOO_RENDEZVOUS_PORT", "1")  # nobody answers there
    KeyValueStore.find().put("1", "text")
    assert KeyValueStore.at(store.place).get("1") is None


@pytest.mark.parametrize("place", ["", "127.0.0.1"])
def test_no_store(place, monkeypatch):
    monkeypatch.delenv("HOROVOD_GLOO_RENDEZVOUS_PORT", raising=False)
    monkeypatch.setenv("HOROVOD_GLOO_RENDEZVOUS_ADDR", place)
    monkeypatch.setenv(STORE, "")
    assert KeyValueStore.find() is None


def test_strangers_and_nonsense_are_refused(store):
    place = store.place.removesuffix("token")
    stranger = KeyValueStore.at(place + "other")
    stranger.put("1", "wrong")
    assert stranger.get("1") is None and KeyValueStore.at(store.place).get("1") is None
    ours = KeyValueStore.at(store.place)
    ours.put("1", "x" * (LONGEST_VALUE + 1))
    assert ours.get("1") is None
    connection = http.client.HTTPConnection(place.rstrip("/"), timeout=10)
    connection.request("GET", "/")
    assert connection.getresponse().status == 404
    connection.close()
    ours.put("1", "still there")
    assert ours.get("1") == "still there"


def test_store_that_has_ended_is_no_error():
    store = Store("127.0.0.1", "token")
    store.close()
    client = KeyValueStore.at(store.place)
    client.put("1", "text")
    assert client.get("1") is None
