# shellcheck shell=sh
# Read by script/run and script/test: finds Python, makes .venv, installs the project into it.
# POSIX sh only: it must run in Debian's dash, FreeBSD's sh and busybox.

say() {
    printf '%s\n' "$*" >&2
}

fail() {
    say "$@"
    exit 1
}

# Whether a Python is new enough and can make a virtual environment (Debian packs ensurepip apart).
is_good_python() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# Sets $python; empty if there is none.
find_python() {
    python=
    for name in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
        if is_good_python "$name"; then
            python=$name
            return
        fi
    done
}

# Installs packages with the system's package manager, saying so first; false if that cannot be done.
# $1: Debian's names, $2: FreeBSD's.
install_packages() {
    if command -v apt-get >/dev/null 2>&1; then
        install="apt-get install -y --no-install-recommends $1"
    elif command -v pkg >/dev/null 2>&1; then
        install="pkg install -y $2"
    else
        say "cannot install $1: neither apt-get nor pkg is here; install it by hand"
        return 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        say "cannot install what is missing: that needs root; run this as root, then try again: $install"
        return 1
    fi
    say "installing what is missing: $install"
    if [ "${install%% *}" = apt-get ]; then
        DEBIAN_FRONTEND=noninteractive
        export DEBIAN_FRONTEND
        apt-get update -qq >&2 || say "apt-get update failed; trying with the package lists as they are"
        install="$install -qq"
    fi
    # The words of $install are meant to be split: they are names of packages.
    # shellcheck disable=SC2086
    $install >&2
}

# Takes the programs that the tests call; says what is missing where it cannot install.
need_programs() {
    missing=
    for program in "$@"; do
        command -v "$program" >/dev/null 2>&1 || missing="$missing $program"
    done
    if [ -n "$missing" ]; then
        install_packages "${missing# }" "$(printf '%s' "${missing# }" | sed 's/shellcheck/hs-ShellCheck/')" ||
            say "going on without:$missing (the tests that need it are skipped, or fail)"
    fi
}

# Takes the stand-in for PAM, a library that the tests of logins start a daemon with. FreeBSD has none.
need_pam_wrapper() {
    if command -v apt-get >/dev/null 2>&1 && [ -z "$(find /usr/lib -name libpam_wrapper.so 2>/dev/null)" ]; then
        install_packages libpam-wrapper "" || say "going on without libpam-wrapper (its tests are skipped)"
    fi
}

# On FreeBSD these are compiled from Rust and C, and PyPI has no binaries for it: take the system's packages.
freebsd_libraries() {
    flavour=py$("$python" -c 'import sys; print("%d%d" % sys.version_info[:2])')
    for library in cryptography msgspec psutil:psutil yaml:pyyaml; do
        "$python" -c "import ${library%%:*}" >/dev/null 2>&1 || printf '%s-%s ' "$flavour" "${library##*:}"
    done
}

# What is installed, as one line: another pyproject.toml or another folder means installing anew.
wanted() {
    printf '%s %s %s\n' "$(cksum <pyproject.toml)" "$PWD" "$1"
}

# Makes .venv with the project in it (editable). $1: an extra of pyproject.toml, or nothing in quotes.
make_venv() {
    extra=$1
    if .venv/bin/python -c 'import pip' >/dev/null 2>&1; then
        for stamp in .venv/installed-"$extra" .venv/installed-test; do
            # With the tests' libraries everything that script/run needs is there too.
            if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(wanted "${stamp##*-}")" ]; then
                return
            fi
        done
    else
        find_python
        if [ -z "$python" ]; then
            say "no Python >= 3.11 with venv found"
            install_packages "python3 python3-venv" python311 || exit 1
            find_python
            [ -n "$python" ] || fail "cannot go on: the system's Python is older than 3.11;" \
                "install a newer one and name it: PYTHON=/path/to/python3.11 sh $0"
        fi
        options=
        if [ "$(uname -s)" = FreeBSD ]; then
            libraries=$(freebsd_libraries)
            [ -z "$libraries" ] || install_packages "" "$libraries" || exit 1
            options=--system-site-packages
        fi
        say "making .venv with $python"
        "$python" -m venv --clear $options .venv || fail "cannot make .venv with $python: see above"
    fi
    say "installing the project and its libraries into .venv"
    # Twice quiet: errors only. pip's own hints about mirrors and versions help nobody here.
    .venv/bin/python -m pip install -qq --disable-pip-version-check -e ".${extra:+[$extra]}" ||
        fail "cannot install into .venv: pip says why above; is the network there?"
    wanted "$extra" >.venv/installed-"$extra"
}
