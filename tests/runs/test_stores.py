"""Files in folders and in a real object store, which runs here."""

import pytest

from synthaug.runs.stores import Bucket, Folder, StoreError, open_store, send_folder


@pytest.fixture(params=["folder", "bucket"])
def store(request, tmp_path):
    """Each kind of store."""
    if request.param == "folder":
        return open_store(str(tmp_path / "store"))
    return open_store(f"{request.getfixturevalue('bucket')}/deep/clips/")


def test_what_is_put_is_there_by_its_name(store):
    assert store.list_sizes() == {} and not store.has("wave/1.mp4")
    for name, content in (("wave/1.mp4", b"one"), ("drink water/2.mp4", b"three")):
        store.put(
            name,
            lambda path, content=content: (path.parent.mkdir(exist_ok=True, parents=True), path.write_bytes(content)),
        )
    assert store.list_sizes() == {"wave/1.mp4": 3, "drink water/2.mp4": 5}
    assert store.has("wave/1.mp4") and not store.has("wave/2.mp4")


def test_a_file_that_could_not_be_made_is_not_there(bucket):
    store = Bucket(f"{bucket}/clips")

    def fail(path):
        path.write_bytes(b"half")
        raise ValueError("Expected more, got half.")

    with pytest.raises(ValueError, match="got half"):
        store.put("1.mp4", fail)
    assert store.list_sizes() == {}


def test_a_folder_is_sent_once_and_its_manifest_last(bucket, tmp_path, monkeypatch):
    store, order = Bucket(f"{bucket}/export"), []
    for name in ("train/1.mp4", "train/2.mp4", "a.json", "export.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    send = Bucket.send
    monkeypatch.setattr(Bucket, "send", lambda self, file, name: (order.append(name), send(self, file, name)))
    assert send_folder(tmp_path, store, last="export.json") == 4 and order[-1] == "export.json"
    assert store.list_sizes() == {name: len(name) for name in order}
    (tmp_path / "train/2.mp4").write_bytes(b"changed")
    order.clear()
    assert send_folder(tmp_path, store, last="export.json") == 2 and order == ["train/2.mp4", "export.json"]


def test_a_bucket_that_is_not_there_is_told(bucket):
    with pytest.raises(StoreError, match="Expected to read and write s3://nobody-has-this/clips, got .*Check the addr"):
        Bucket("s3://nobody-has-this/clips").put("1.mp4", lambda path: path.write_bytes(b"1"))


def test_a_store_without_its_package_is_told():
    with pytest.raises(StoreError, match="xyz://b/c, got ValueError: Protocol not known: xyz"):
        Bucket("xyz://b/c").list_sizes()


def test_a_word_without_an_address_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_store("clips") == Folder(tmp_path / "clips")
