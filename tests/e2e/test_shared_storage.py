"""A cloud and hospitals whose settings name their databases and shelves, served by the command; a node finds only its own."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.stage import CONSENT, Federation, make_token, run
from tests.contract import postgresql_server, s3_server
from tests.contract.store_support import IMPLEMENTATIONS

DATA = Path(__file__).parents[1] / "data"
RECORD = DATA / "synthea-johnnie679.json"
_numbers = itertools.count(1)

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Storage:
    """Where a node keeps things that are not in its directory."""

    database: str
    password_file: Path | None
    blobs: str
    blob_count: Callable[[], int]

    @property
    def database_options(self) -> list[object]:
        """Return the options of `init`."""
        password = ["--database-password-file", self.password_file] if self.password_file else []
        return ["--database", self.database, *password]


def embedded(root: Path) -> Storage:
    """Return a SQLite file and a directory of files, both outside the node's directory."""
    place = root / f"elsewhere-{next(_numbers)}"
    place.mkdir()
    return Storage(
        f"sqlite:///{place}/node.sqlite", None, f"file://{place}/blobs", lambda: len(list(place.rglob("blobs/??/*")))
    )


def shared(root: Path) -> Storage:
    """Return a database of PostgreSQL that asks for a password, and a bucket."""
    server, buckets = postgresql_server.server(), s3_server.server()
    name = server.new_database()
    server.execute(f"ALTER DATABASE {name} OWNER TO locked")
    password_file = root / f"{name}.password"
    password_file.touch(mode=0o600)
    password_file.write_text(f"{postgresql_server.PASSWORD}\n")
    blobs = buckets.new_bucket()
    bucket = blobs.removeprefix("s3://").partition("/")[0]
    return Storage(server.url(name, role="locked"), password_file, blobs, lambda: len(buckets.keys(bucket)))


@pytest.fixture(params=IMPLEMENTATIONS)
def new_storage(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Storage]:
    """Return a function that makes storage of one kind."""
    for name, value in s3_server.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    kind = {"sqlite": embedded, "postgresql": shared}[request.param]
    return lambda: kind(tmp_path)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Federation]:
    """Yield a federation that is not founded yet."""
    made = Federation(tmp_path)
    yield made
    made.stop()


def test_visit_deposits_searches_and_fetches_in_named_storage(
    new_storage: Callable[[], Storage], stage: Federation
) -> None:
    cloud, hospital = new_storage(), new_storage()
    stage.found(*cloud.database_options)
    stage.add_hospital("a", *hospital.database_options, "--blobs", hospital.blobs)
    doctor, patient = stage.add_doctor("house"), stage.add_patient("johnnie", "a")
    run(
        *("hospital", "import", "--directory", stage.root / "a", "--patient", "P:johnnie"),
        *("--department", "cardiology", RECORD),
    )
    stage.await_publication("a")
    before = hospital.blob_count()
    assert before > 0
    visit, code = stage.consult(doctor, "a", "visit", "--conclusion", "Well.", "--department", "cardiology")
    run("patient", "visit", "--directory", patient, code, "--ecg", DATA / "waveform_ecg.dcm", *CONSENT)
    story = visit.wait()
    assert "1 record found" in story
    assert "H:a keeps this encounter" in story
    assert hospital.blob_count() > before
    for node in (stage.root / "cloud", stage.root / "a"):
        assert not list(node.glob("store.sqlite*"))
        assert not (node / "blobs").exists()
        assert "the tree holds" in run(_kind(node), "log", "--directory", node, "--verify")
    assert_password_nowhere(stage.root)


def _kind(node: Path) -> str:
    return "public-cloud" if node.name == "cloud" else "hospital"


def assert_password_nowhere(root: Path) -> None:
    """Require that no file but the password's own holds it: settings, logs, ready files."""
    word = postgresql_server.PASSWORD.encode()
    found = [path for path in root.rglob("*") if path.is_file() and word in path.read_bytes()]
    assert [path for path in found if path.suffix != ".password"] == []


def cloud_words(directory: Path, storage: Storage, realm: str = "keys", keys: str = "--make-keys") -> list[object]:
    names = "--identity", "C:union", "--realm", realm, "--address", "127.0.0.1:1", "--peer-address", "127.0.0.1:2"
    return ["public-cloud", "init", "--directory", directory, *names, *storage.database_options, keys]


def test_database_of_another_node_is_refused_before_any_key_is_made(
    new_storage: Callable[[], Storage], tmp_path: Path
) -> None:
    storage, cloud, hospital = new_storage(), tmp_path / "cloud", tmp_path / "a"
    run(*cloud_words(cloud, storage), "--pin-file", make_token(cloud, "cloud"))
    words = (
        "hospital",
        "init",
        "--directory",
        hospital,
        "--identity",
        "H:a",
        "--trust",
        cloud / "trust.json",
        "--listen",
        "127.0.0.1:3",
        "--make-keys",
    )
    pin = make_token(hospital, "a")
    said = run(*words, "--pin-file", pin, *storage.database_options, expect=1)
    assert "database.url: this database is C:union's, and can't be H:a's as well" in said
    assert "0 objects" in run("token", "keys", "--directory", hospital, "--pin-file", pin)


def test_database_made_with_other_keys_is_refused(new_storage: Callable[[], Storage], tmp_path: Path) -> None:
    storage = new_storage()
    run(*cloud_words(tmp_path / "cloud", storage), "--pin-file", make_token(tmp_path / "cloud", "cloud"))
    said = run(
        *cloud_words(tmp_path / "again", storage), "--pin-file", make_token(tmp_path / "again", "again"), expect=1
    )
    assert "made with other keys than this token's" in said


def test_lost_directory_is_made_again_from_token_and_database(
    new_storage: Callable[[], Storage], tmp_path: Path
) -> None:
    storage, cloud = new_storage(), tmp_path / "cloud"
    pin = "--pin-file", make_token(cloud, "cloud")
    run(*cloud_words(cloud, storage), *pin)
    trust = (cloud / "trust.json").read_bytes()
    for name in ("medunion.toml", "trust.json"):
        (cloud / name).unlink()
    other = cloud_words(cloud, storage, realm="another", keys="--keys-in-token")
    assert "with other names, addresses or classes" in run(*other, *pin, expect=1)
    run(*cloud_words(cloud, storage, keys="--keys-in-token"), *pin)
    assert (cloud / "trust.json").read_bytes() == trust


def test_settings_that_name_an_empty_database_are_refused(new_storage: Callable[[], Storage], tmp_path: Path) -> None:
    storage, cloud = new_storage(), tmp_path / "cloud"
    run(*cloud_words(cloud, storage), "--pin-file", make_token(cloud, "cloud"))
    settings = cloud / "medunion.toml"
    settings.write_text(settings.read_text().replace(storage.database, new_storage().database))
    said = run("public-cloud", "log", "--directory", cloud, expect=1)
    assert "no node was made in this database" in said


def test_password_and_pin_may_be_the_service_s_credentials(
    new_storage: Callable[[], Storage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, cloud, credentials = new_storage(), tmp_path / "cloud", tmp_path / "credentials"
    credentials.mkdir()
    make_token(cloud, "cloud").rename(credentials / "pin")
    (credentials / "db.password").write_text(f"{postgresql_server.PASSWORD}\n")
    for name in ("pin", "db.password"):
        (credentials / name).chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    token = "--token", (cloud / "tokens" / "token.uri").read_text().strip()
    configuration = "--softhsm-configuration", cloud / "tokens" / "softhsm2.conf"
    named = "--database", storage.database, "--database-password-credential", "db.password", "--pin-credential", "pin"
    names = "--identity", "C:union", "--realm", "keys", "--address", "127.0.0.1:1", "--peer-address", "127.0.0.1:2"
    words = "public-cloud", "init", "--directory", cloud, *names
    run(*words, *token, *configuration, "--make-keys", *named)
    assert "Nothing is wrong" in run("check", "--directory", cloud)
    (credentials / "db.password").write_text("wrong")
    said = run("check", "--directory", cloud, expect=1 if storage.password_file else 0)
    assert (storage.password_file is None) or "STORE_UNAVAILABLE" in said
    assert postgresql_server.PASSWORD not in said
    assert_password_nowhere(cloud)
