"""Every error of libvirt is translated, with advice for the user."""

import errno

import libvirt
import pytest

from pragmaspec.errors import SiteCapacityError, SiteConflictError, SiteError, SiteUnreachableError
from pragmaspec.providers.libvirt.errors import KIND_BY_CODE, TRANSLATIONS, as_site_error, ignoring, kind_of, translated

LEVELS = {"VIR_ERR_NONE", "VIR_ERR_WARNING", "VIR_ERR_ERROR"}
CODES = sorted(name for name in dir(libvirt) if name.startswith("VIR_ERR_") and name not in LEVELS)


def failure(code: int, domain: int = libvirt.VIR_FROM_QEMU, message: str = "no good", number: int = 0) -> libvirt.libvirtError:
    error = libvirt.libvirtError(message)
    error.err = (code, domain, message, libvirt.VIR_ERR_ERROR, "", "", "", number, 0)
    return error


@pytest.mark.parametrize("name", CODES)
def test_every_error_code_of_libvirt_has_a_kind(name):
    kind = KIND_BY_CODE[getattr(libvirt, name)]
    translation = TRANSLATIONS[kind]
    error = as_site_error(failure(getattr(libvirt, name)), "boot hello-frontend at qemu:///system")
    assert type(error) is translation.error
    assert error.problems[0].summary == translation.summary


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (failure(libvirt.VIR_ERR_NO_CONNECT), SiteUnreachableError),
        (failure(libvirt.VIR_ERR_AUTH_FAILED), SiteUnreachableError),
        (failure(libvirt.VIR_ERR_SYSTEM_ERROR, number=errno.ECONNREFUSED), SiteUnreachableError),
        (failure(libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_RPC, "client socket is closed"), SiteUnreachableError),
        (failure(libvirt.VIR_ERR_DOM_EXIST), SiteConflictError),
        (failure(libvirt.VIR_ERR_STORAGE_VOL_EXIST), SiteConflictError),
        (failure(libvirt.VIR_ERR_NO_MEMORY), SiteCapacityError),
        (failure(libvirt.VIR_ERR_SYSTEM_ERROR, number=errno.ENOSPC), SiteCapacityError),
        (failure(libvirt.VIR_ERR_INTERNAL_ERROR, message="qemu: cannot set up guest memory"), SiteCapacityError),
        (failure(libvirt.VIR_ERR_INTERNAL_ERROR, message="qemu-img: No space left on device"), SiteCapacityError),
        (failure(libvirt.VIR_ERR_INTERNAL_ERROR), SiteError),
        (failure(libvirt.VIR_ERR_OPERATION_DENIED), SiteError),
        (failure(99_999), SiteError),
    ],
)
def test_errors_are_translated_to_their_class(error, becomes):
    assert type(as_site_error(error, "boot it")) is becomes


def test_the_detail_contains_operation_message_and_advice():
    with pytest.raises(SiteError) as caught, translated("boot hello-frontend at qemu:///system"):
        raise failure(libvirt.VIR_ERR_OPERATION_DENIED, message="read only connection.")
    detail = caught.value.problems[0].detail
    assert detail.startswith("Could not boot hello-frontend at qemu:///system. libvirt reports: read only connection. ")
    assert "member of the group libvirt" in detail


def test_a_bridge_missing_at_start_has_advice():
    error = as_site_error(
        failure(libvirt.VIR_ERR_SYSTEM_ERROR, message="Cannot get interface MTU on 'br7': No such device"), "boot hello-frontend"
    )
    (problem,) = error.problems
    assert problem.summary == "The bridge does not exist"
    assert "no bridge br7. Create it there (ip link add br7 type bridge), or correct the `bridge:`" in problem.detail


def test_an_error_without_code_is_internal():
    assert kind_of(libvirt.libvirtError("gone")) == "internal"


def test_ignoring_suppresses_only_the_given_codes():
    with ignoring(libvirt.VIR_ERR_NO_DOMAIN):
        raise failure(libvirt.VIR_ERR_NO_DOMAIN)
    with pytest.raises(libvirt.libvirtError), ignoring(libvirt.VIR_ERR_NO_DOMAIN):
        raise failure(libvirt.VIR_ERR_NO_NETWORK)
    with pytest.raises(KeyError), ignoring(libvirt.VIR_ERR_NO_DOMAIN):
        raise KeyError
