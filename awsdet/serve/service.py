"""What the server answers: paths to results. Knows nothing of sockets."""

import json
import re
import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import NamedTuple

from awsdet.serve import page, rest, sagemaker
from awsdet.serve.full_masks import check_size
from awsdet.serve.limits import Limits
from awsdet.serve.model import Job, Model
from awsdet.serve.refusal import Refused, busy

_LOOK_SECONDS = 0.5  # between two looks at whether a client that waits is still there
_TRANSFORMS, _TRANSFORM_MB = 4, 100  # requests of a batch transform at the same time, and all they may hold
_MODEL = re.compile(r"/v1/models/([^/:]+)(?:/versions/([^/:]+))?(/metadata|:[a-zA-Z]+)?")
# curl -d says "form", whatever it sends; TensorFlow Serving does not look at the type at all.
_JSON_TYPES = ("application/json", "application/x-www-form-urlencoded", "text/plain", "")


class Request(NamedTuple):
    """A request. path: without the query; headers: a mapping that knows no case; body: reads it, once, and may raise
    Refused; is_there: whether the client still waits."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Callable[[], bytes]
    is_there: Callable[[], bool]


class Answer(NamedTuple):
    """An answer. headers: more of them."""

    status: int
    content: bytes
    kind: str = "application/json"
    headers: Mapping[str, str] = {}


class Gone(Exception):
    """The client does not wait for an answer any more."""


class Service:
    """Answers requests with one model.

    Args:
        model: Model. limits: Limits.
        name: of the model in addresses; empty: the one that was exported.
    """

    def __init__(self, model: Model, limits: Limits, name: str = ""):
        self._model, self._limits, self._name = model, limits, name
        self._begun = time.monotonic()
        self.stopping = False

    def answer(self, request: Request) -> Answer:
        """The answer to a request. Raises Refused, and Gone if the client has gone."""
        path = urllib.parse.unquote(request.path)
        fixed = {
            "/": ("GET", self._page),
            "/health": ("GET", self._health),
            "/ping": ("GET", self._ping),
            "/execution-parameters": ("GET", self._execution_parameters),
            "/invocations": ("POST", self._invocations),
        }
        if path in fixed:
            method, function = fixed[path]
            _check_method(request.method, method)
            return function(request)
        found = _MODEL.fullmatch(path)
        if not found:
            raise Refused(404, f"there is nothing at {path[:80]}")
        return self._of_model(request, *found.groups())

    # ------------------------------------------------------------------------------------- TensorFlow Serving's paths

    def _of_model(self, request, name, version, what):
        description = self._described()
        if name != self.name:
            raise Refused(404, f"there is no model {name[:80]}; the one served here is {self.name}")
        if version not in (None, description.version):
            raise Refused(404, f"model {name} has version {description.version} here, not {version[:80]}")
        if what is None:
            _check_method(request.method, "GET")
            return _json(200, self._status(description))
        if what == "/metadata":
            _check_method(request.method, "GET")
            return _json(200, self._metadata(description))
        if what != ":predict":
            raise Refused(404, f"this model cannot {what[1:]}; it can predict")
        _check_method(request.method, "POST")
        self._check_open()
        _check_encoding(request)
        if _media_type(request) not in _JSON_TYPES:
            raise Refused(415, f"the Content-Type is {_media_type(request)}; send application/json")
        call = rest.read_call(rest.parse(request.body()), description.signatures, self._limits)
        return Answer(200, rest.answer(self._outputs(request, call), call.rows))

    def _status(self, description):
        ready = self._model.state == "ready" and not self.stopping
        code = {"error_code": "OK", "error_message": ""}
        entry = {"version": description.version, "state": "AVAILABLE" if ready else "LOADING", "status": code}
        return {"model_version_status": [entry]}

    def _metadata(self, description):
        return {
            "model_spec": {"name": self.name, "signature_name": "", "version": description.version},
            "metadata": {"signature_def": {"signature_def": description.signatures}},
        }

    # -------------------------------------------------------------------------------------------------- SageMaker's

    def _ping(self, request):
        ready = self._model.state == "ready" and not self.stopping
        return Answer(200 if ready else 503, b"", "text/plain")

    def _execution_parameters(self, request):
        """What SageMaker's batch transform asks. It refuses requests that together exceed 100 MB."""
        payload = min(_TRANSFORM_MB // _TRANSFORMS, max(1, self._limits.body_bytes // 2**20))
        return _json(
            200,
            {"MaxConcurrentTransforms": _TRANSFORMS, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": payload},
        )

    def _invocations(self, request):
        self._check_open()
        _check_encoding(request)
        description = self._described()
        as_csv = sagemaker.wants_csv(request.headers.get("Accept", ""))
        call = sagemaker.read_call(request.body(), _media_type(request), description.signatures, self._limits)
        outputs = self._outputs(request, call)
        if as_csv:
            return Answer(200, sagemaker.csv_answer(outputs), sagemaker.CSV)
        return Answer(200, rest.answer(outputs, call.rows))

    # -------------------------------------------------------------------------------------------------------- others

    @property
    def name(self) -> str:
        """Of the model, as addresses have it."""
        return self._name or (self._model.description.info["name"] if self._model.description else "")

    def _health(self, request):
        state = "stopping" if self.stopping else self._model.state
        description = self._model.description
        found = {
            "state": state,
            "model": self.name,
            "version": description.version if description else "",
            "waiting": self._model.waiting,
            "restarts": self._model.restarts,
            "process": self._model.process,
            "seconds": round(time.monotonic() - self._begun, 1),
        }
        return _json(200 if state == "ready" else 503, found)

    def _page(self, request):
        description = self._described()
        text = page.page(self.name, description.version, description.info, self._limits.image_bytes)
        return Answer(200, text.encode(), "text/html; charset=utf-8", page.HEADERS)

    def _outputs(self, request, call):
        """What the model finds. Raises Refused, Gone."""
        check_size(call, self._described().signatures[call.signature], self._limits)
        job = Job(call.signature, call.inputs, time.monotonic() + self._limits.seconds)
        self._model.add(job)
        while not job.wait(min(_LOOK_SECONDS, max(0.0, job.deadline - time.monotonic()))):
            if time.monotonic() >= job.deadline:
                self._model.give_up(job)
                raise Refused(
                    504, f"no result within {self._limits.seconds:g} s (--timeout); send fewer or smaller images"
                )
            if not request.is_there():
                self._model.give_up(job)
                raise Gone
        return job.result()

    def _check_open(self):
        if self.stopping:
            raise busy("the server is being stopped", 10)

    def _described(self):
        if not self._model.description:
            raise busy("the model is being loaded; try again in some seconds", 5)
        return self._model.description


def _json(status, content):
    return Answer(status, json.dumps(content).encode())


def _check_method(given, wanted):
    if given != wanted and (given, wanted) != ("HEAD", "GET"):
        raise Refused(405, f"{given} is not possible here; use {wanted}", Allow=wanted)


def _media_type(request):
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _check_encoding(request):
    coding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if coding != "identity":
        raise Refused(415, f"the Content-Encoding is {coding[:80]}; send the body as it is")
