"""The log of a job in CloudWatch: the lines of its machines, in the order of time, each only once."""

import re

from awsdet.sagemaker.services import Absent, explained

GROUP = "/aws/sagemaker/TrainingJobs"
_HOST = re.compile(r"algo-\d+")


class Log:
    """Reads the log of one job from its start, as it grows.

    A job has one stream per machine, and new ones after each start on spare capacity.

    Args:
        client: boto3's client of CloudWatch Logs.
        name: the job.
    """

    def __init__(self, client, name):
        self._client, self._name = client, name
        self._places = {}  # stream -> the token that its next lines are behind
        self._unread = []  # (time in ms, host, text) of lines that were fetched and not yet returned

    def read(self):
        """The lines since the last call, as a list of strings "[algo-1] text"; empty if there are none yet.

        Raises UserError (such as for a permission that is missing) or ServiceFailure. No line is lost then: the next
        call returns it.
        """
        with explained(f"reading the log of {self._name}"):
            for stream in self._streams():
                self._fetch(stream)
        events = sorted(self._unread, key=lambda event: event[0])  # stable: lines of one machine keep their order
        self._unread = []
        return [f"[{host}] {text}" for _, host, text in events]

    def _streams(self):
        """Names of the job's streams."""
        pages = self._client.get_paginator("describe_log_streams").paginate(
            logGroupName=GROUP, logStreamNamePrefix=f"{self._name}/"
        )
        try:
            with explained("reading the log"):
                return [stream["logStreamName"] for page in pages for stream in page["logStreams"]]
        except Absent:  # the group appears with the first line of the first job of an account
            return []

    def _fetch(self, stream):
        """Adds the new lines of a stream to those that are unread."""
        host = (_HOST.search(stream.partition("/")[2]) or [stream])[0]
        while True:
            options = {"nextToken": self._places[stream]} if stream in self._places else {}
            answer = self._client.get_log_events(
                logGroupName=GROUP, logStreamName=stream, startFromHead=True, **options
            )
            self._unread += [(event["timestamp"], host, event["message"].rstrip("\n")) for event in answer["events"]]
            before, self._places[stream] = self._places.get(stream), answer["nextForwardToken"]
            if answer["nextForwardToken"] == before:  # the service's sign for the end of the stream
                return
