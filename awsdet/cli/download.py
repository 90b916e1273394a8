"""Fetches a public data set, checks it, unpacks it, and converts it to records.

    awsdet download coco2017 DIR

brings the train and val images and the annotations of COCO 2017 (20 GB in three archives) and writes records to
DIR/records. Give the same command again after an interruption: it goes on with what is there. Each archive is compared
with its published MD5 before anything of it is unpacked.

Exit codes: 0 done; 1 a server, the network or a disk failed, or --verify found something wrong: what was fetched stays
there, give the same command again; 2 a mistake to mend, such as too little room.
"""

import difflib
import pathlib
import sys

from absl import flags

from awsdet.cli.arguments import define_path
from awsdet.data.download import fetching
from awsdet.data.download.sets import DATA_SETS
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import check_folder, why_no_folder
from awsdet.runtime.http_get import FetchFailed

POSITIONAL = ("name", "folder")


def define(flag_values):
    """Adds the flags of `awsdet download`."""
    flags.DEFINE_string("name", None, f"data set: {', '.join(DATA_SETS)}", flag_values=flag_values)
    define_path("folder", None, "DIR: folder to write the data set to", flag_values, written=True)
    flags.DEFINE_list("parts", None, "only these, as in val,annotations; all if not given", flag_values=flag_values)
    flags.DEFINE_string(
        "from",
        "",
        "mirror to fetch from, as in https://mirror.example: it replaces scheme and host of all addresses",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "connections",
        fetching.CONNECTIONS,
        "how many are open at the same time",
        flag_values=flag_values,
        lower_bound=1,
        upper_bound=64,
    )
    flags.DEFINE_bool("keep_archives", False, "keep the archives after they were unpacked", flag_values=flag_values)
    flags.DEFINE_bool("no_convert", False, "write no records", flag_values=flag_values)
    flags.DEFINE_bool("verify", False, "only check what is there already, byte for byte", flag_values=flag_values)


def run(flag_values, overrides):
    """Fetches, unpacks and converts. Returns the exit code."""
    del overrides
    data_set = _data_set(flag_values.name)
    if not flag_values.folder:
        raise UserError(f"the folder is missing: awsdet download {data_set.name} DIR (see awsdet download --help)")
    folder = pathlib.Path(flag_values.folder)
    wanted = fetching.chosen(data_set, flag_values.parts or ())
    if flag_values.verify:
        return _verify(flag_values, folder, wanted)
    check_folder(folder, "folder")
    options = fetching.Options(
        mirror=flag_values["from"].value,
        keep_archives=flag_values.keep_archives,
        records=not flag_values.no_convert,
        connections=flag_values.connections,
    )
    print(f"{data_set.name}: terms of use at {data_set.terms}")
    try:
        for line in fetching.bring(data_set, folder, wanted, options):
            print(line, flush=True)
    except FetchFailed as error:
        reason = " ".join(str(error).split())
        cure = "what was fetched is kept: give the same command again, or name a mirror with --from"
        print(f"awsdet download: {reason}; {cure}", file=sys.stderr)
        return 1
    return 0 if flag_values.no_convert else _convert(data_set, folder, wanted)


def _data_set(name):
    if not name:
        raise UserError(f"the data set is missing: awsdet download NAME DIR; --name is one of {', '.join(DATA_SETS)}")
    if name not in DATA_SETS:
        near = difflib.get_close_matches(name, DATA_SETS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(DATA_SETS)}"
        raise UserError(f"no data set is called {name}; {hint}")
    return DATA_SETS[name]


def _verify(flag_values, folder, wanted):
    """Prints what is there of each part. Returns the exit code."""
    for name in ("from", "keep_archives", "no_convert"):
        if flag_values[name].value:
            raise UserError(f"--{name.replace('_', '-')} has no meaning with --verify, which changes nothing")
    if not folder.is_dir():
        raise UserError(f"{folder} {why_no_folder(folder)}")
    found = [fetching.verify(folder, archive) for archive in wanted]
    for verified in found:
        print("\n".join(verified.lines), flush=True)
    sound = all(verified.sound for verified in found)
    if (folder / "records").is_dir():
        print(f"the records were not looked at: awsdet inspect --records={folder / 'records'} checks them")
    print(f"{folder}: {'all of this is sound' if sound else 'not all of this is there and sound'}")
    return 0 if sound else 1


def _convert(data_set, folder, wanted):
    """Writes the records of all splits that are there. Returns the exit code."""
    splits = fetching.convertible(data_set, folder)
    for split in data_set.splits:
        if split not in splits and any(archive.folder == split.images for archive in wanted):
            print(f"{split.name}: not converted, since {split.annotations} is not there (--parts=annotations)")
    if splits:
        from awsdet.cli.convert import prepare, write_split

        prepare()
        records = folder / "records"
        for split in splits:
            write_split([folder / split.annotations, folder / split.images, records, split.name], {})
        print(f"to train on them: awsdet train … --config.data.train_records={records}")
    return 0
