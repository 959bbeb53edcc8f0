import pytest

from pragmaspec.errors import UsageError
from pragmaspec.state.backends.http.config import http_config

GITLAB = "https://gitlab.example.org/api/v4/projects/12/terraform/state/hello"
GITEA = "https://git.example.org/api/packages/anna/terraform/state/hello"


@pytest.mark.parametrize("url", [GITLAB, GITEA, GITLAB.replace("12", "anna%2Fclusters")])
def test_gitlab_and_gitea_lock_beside_the_state(url):
    config = http_config(url, {})
    assert config.lock_address == config.unlock_address == f"{url}/lock"
    assert (config.update_method, config.lock_method, config.unlock_method) == ("POST", "POST", "DELETE")


def test_other_servers_lock_at_the_address_itself():
    config = http_config("https://h/states/hello?stage=1", {})
    assert (config.lock_address, config.lock_method, config.unlock_method) == ("https://h/states/hello?stage=1", "LOCK", "UNLOCK")
    assert config.title == "https://h/states/hello"
    assert config.write_address("a b&c") == "https://h/states/hello?stage=1&ID=a+b%26c"
    assert http_config("https://h/x?ID=old&a=", {}).write_address("new") == "https://h/x?a=&ID=new"


def test_terraform_variables_apply_only_to_their_own_address():
    terraform = {
        "TF_HTTP_ADDRESS": "https://h/x",
        "TF_HTTP_LOCK_ADDRESS": "https://h/locks/x",
        "TF_HTTP_LOCK_METHOD": "PUT",
        "TF_HTTP_UNLOCK_METHOD": "DELETE",
        "TF_HTTP_UPDATE_METHOD": "PUT",
    }
    config = http_config("https://h/x", terraform)
    assert (config.lock_address, config.unlock_address) == ("https://h/locks/x", "https://h/locks/x")
    assert (config.update_method, config.lock_method, config.unlock_method) == ("PUT", "PUT", "DELETE")
    assert http_config("https://h/y", terraform).lock_address == "https://h/y"
    ours = http_config("https://h/y", {**terraform, "PRAGMASPEC_HTTP_LOCK_ADDRESS": "https://h/l"})
    assert (ours.lock_address, ours.lock_method) == ("https://h/l", "LOCK")


@pytest.mark.parametrize(
    "url",
    ["https:///x", "ftp://h/x", "https://h/x#y", "https://h:99999/x", f"{GITLAB}/more", "https://u:p@h/x", "https://h/x?token=y"],
)
def test_invalid_http_urls_are_refused(url):
    with pytest.raises(UsageError):
        http_config(url, {})


def test_an_http_method_is_a_word_in_capitals():
    with pytest.raises(UsageError, match="Invalid HTTP method"):
        http_config("https://h/x", {"PRAGMASPEC_HTTP_LOCK_METHOD": "LOCK /y HTTP/1.1\r\n"})
