"""What a machine's files and programs say of its links."""

import pytest

from awsdet.runtime import links

# Shortened lines of NCCL 2.18 and of aws-ofi-nccl, as they come from two machines with EFA, and from two without.
WITH_EFA = """\
h1:21:26 [0] NCCL INFO NET/OFI Selected Provider is efa (found 4 nics)
h1:21:26 [0] NCCL INFO Using network AWS Libfabric
h1:21:26 [0] NCCL INFO Channel 00/0 : 0[101c0] -> 1[101d0] via P2P/IPC/read
h1:21:26 [0] NCCL INFO Channel 01/0 : 9[101d0] -> 0[101c0] [receive] via NET/AWS Libfabric/0/GDRDMA comm 0x9b nRanks 16
h1:21:26 [0] NCCL INFO Channel 01/0 : 0[101c0] -> 1[101d0] via P2P/IPC/read
"""
WITHOUT_EFA = """\
h1:1:257 [0] NCCL INFO NET/Plugin : No plugin found (libnccl-net.so), using internal implementation
h1:1:257 [0] NCCL INFO Using network Socket
h1:1:257 [0] NCCL INFO Channel 00/0 : 0[0] -> 1[0] [send] via NET/Socket/0
h1:1:257 [0] NCCL INFO Channel 00/0 : 0[0] -> 2[6] via SHM/direct/direct
"""
TOPOLOGY = """\
\tGPU0\tGPU1\tNIC0\tCPU Affinity\tNUMA Affinity
GPU0\t X \tNV12\tPXB\t0-47\t0
GPU1\tNV12\t X \tSYS\t0-47\t0
NIC0\tPXB\tSYS\t X
Legend:
  NV#  = Connection traversing a bonded set of # NVLinks
"""


def test_what_nccl_chose():
    assert links.nccl_choices(WITH_EFA) == ("AWS Libfabric", ["NET/AWS Libfabric/0/GDRDMA", "P2P/IPC/read"])
    assert links.nccl_choices(WITHOUT_EFA) == ("Socket", ["NET/Socket/0", "SHM/direct/direct"])
    assert links.nccl_choices("") == ("", [])


def test_nvlink_out_of_the_table_of_nvidia_smi():
    assert links.nvlinks(TOPOLOGY) == ["NV12"]
    assert links.nvlinks(TOPOLOGY.replace("NV12", "PHB")) == []
    assert links.nvlinks("") == []


def test_efa_devices_are_those_of_its_driver(tmp_path):
    for name, driver in (("rdmap0s6", "efa"), ("mlx5_0", "mlx5_core")):
        (tmp_path / "drivers" / driver).mkdir(parents=True)
        (tmp_path / "class" / name / "device").mkdir(parents=True)
        (tmp_path / "class" / name / "device" / "driver").symlink_to(tmp_path / "drivers" / driver)
    assert links.efa_devices(tmp_path / "class") == ["rdmap0s6"]
    assert links.efa_devices(tmp_path / "none") == []


def test_speed_as_the_driver_reports_it(tmp_path):
    for name, text in (("eth0", "25000\n"), ("veth", "-1\n"), ("odd", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "speed").write_text(text)
    assert [links.speed(name, tmp_path) for name in ("eth0", "veth", "odd", "none", "")] == [25000, 0, 0, 0, 0]


def test_interface_is_the_one_that_the_launcher_chose(monkeypatch):
    for variable in ("HOROVOD_GLOO_IFACE", "OMPI_MCA_btl_tcp_if_include"):
        monkeypatch.delenv(variable, raising=False)
    assert links.chosen_interface() == ""
    monkeypatch.setenv("OMPI_MCA_btl_tcp_if_include", "10.0.0.0/16")
    assert links.chosen_interface() == "10.0.0.0/16"
    monkeypatch.setenv("HOROVOD_GLOO_IFACE", "ens5")
    assert links.chosen_interface() == "ens5"


@pytest.mark.parametrize("variable", ["NCCL_DEBUG", "NCCL_DEBUG_FILE"])
def test_users_wish_for_nccls_log_is_kept(monkeypatch, tmp_path, variable):
    monkeypatch.setattr(links.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setenv(variable, "WARN")
    log = links.NcclLog()
    assert log.read() == "" and links.os.environ[variable] == "WARN"
    log.close()


def test_nccls_log_is_read_and_removed(monkeypatch):
    monkeypatch.setattr(links.shutil, "which", lambda name: f"/usr/bin/{name}")
    for variable in ("NCCL_DEBUG", "NCCL_DEBUG_FILE"):
        monkeypatch.setenv(variable, "")  # so that monkeypatch restores it
        monkeypatch.delenv(variable)
    log = links.NcclLog()
    path = links.pathlib.Path(links.os.environ["NCCL_DEBUG_FILE"].replace("%h", "h1").replace("%p", "7"))
    path.write_text(WITH_EFA)
    assert links.nccl_choices(log.read())[0] == "AWS Libfabric"
    log.close()
    assert not path.parent.exists()
