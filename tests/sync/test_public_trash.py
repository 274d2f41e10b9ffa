"""What is replaced in a bucket that anybody can read stays readable: said once."""

from __future__ import annotations

import json
from contextlib import closing

from tests.servers import kinds
from trueup import events
from trueup.config import Settings, StoreConfig, SyncConfig, state_home
from trueup.sync import sync
from trueup.sync.outputs import Outputs


def warnings_of_two_replacing_runs(bucket, folder):
    settings = Settings(
        home=state_home(),
        environ={},
        stores={"bucket": StoreConfig(name="bucket", url=bucket.url, options=bucket.options)},
    )
    heard: list[events.Event] = []
    told = []
    for text in ("one", "second", "the third"):
        (folder / "a.txt").write_text(text)
        heard.clear()
        run = sync(
            str(folder),
            "bucket",
            config=SyncConfig(mode="push"),
            settings=settings,
            outputs=Outputs(listener=heard.append),
        )
        assert run.status == "ok"
        told.append([event.message for event in heard if isinstance(event, events.Warned)])
    return told


def test_a_public_bucket_is_warned_of_once_when_something_first_goes_to_its_trash(moto_bucket, tmp_path):
    name = moto_bucket.url.removeprefix("s3://")
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{name}/*"}
    with closing(kinds.s3_client(moto_bucket.options["endpoint"])) as client:
        client.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [everybody]}))
    first, second, third = warnings_of_two_replacing_runs(moto_bucket, tmp_path)
    assert not first
    assert len(second) == 1
    assert "anybody can read" in second[0]
    assert not third


def test_a_private_bucket_is_not_warned_of(seaweed_bucket, tmp_path):
    assert warnings_of_two_replacing_runs(seaweed_bucket, tmp_path) == [[], [], []]
