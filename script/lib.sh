# shellcheck shell=sh
# Read by the scripts beside it: finds Python, makes virtual environments, installs the project into them.
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

# Takes ip(8), by which tests make networks of their own. FreeBSD has no such thing.
need_ip() {
    if command -v apt-get >/dev/null 2>&1 && ! command -v ip >/dev/null 2>&1; then
        install_packages iproute2 "" || say "going on without ip (the tests that need it are skipped)"
    fi
}

# Sets $python, with a newly installed one if there is none.
need_python() {
    find_python
    [ -z "$python" ] || return 0
    say "no Python >= 3.11 with venv found"
    install_packages "python3 python3-venv" python311 || exit 1
    find_python
    [ -n "$python" ] || fail "cannot go on: the system's Python is older than 3.11;" \
        "install a newer one and name it: PYTHON=/path/to/python3.11 sh $0"
}

# On FreeBSD these are compiled from Rust and C, and PyPI has no binaries for it; and Python's own sqlite3 is a
# package there. Each has packages named by the Python that they are for, and not for every Python.
# Sets $packages (what pkg has of what is missing) and $absent (what it does not have).
freebsd_libraries() {
    flavour=py$("$python" -c 'import sys; print("%d%d" % sys.version_info[:2])')
    packages=
    absent=
    for library in sqlite3 cryptography msgspec psutil yaml:pyyaml; do
        if "$python" -c "import ${library%%:*}" >/dev/null 2>&1; then continue; fi
        package=$flavour-${library##*:}
        if [ -n "$(pkg rquery %n "$package" 2>/dev/null)" ]; then
            packages="$packages $package"
        else
            absent="$absent $package"
        fi
    done
    packages=${packages# }
    absent=${absent# }
}

# Makes a virtual environment with $python. $1: its folder
new_venv() {
    options=
    if [ "$(uname -s)" = FreeBSD ]; then
        freebsd_libraries
        case " $absent " in
        *-sqlite3\ *) fail "cannot go on: $python has no sqlite3, and pkg has no ${absent%% *};" \
            "name another one: PYTHON=/path/to/python3.11 sh $0" ;;
        esac
        [ -z "$absent" ] || say "pkg has no $absent: pip will compile that, with the system's compiler and Rust"
        [ -z "$packages" ] || install_packages "" "$packages" || exit 1
        options=--system-site-packages
    fi
    say "making $1 with $python"
    "$python" -m venv --clear $options "$1" || fail "cannot make $1 with $python: see above"
}

# Installs into a virtual environment: what is ready-made if that is enough. $1: its folder; the rest: what.
pip_install() {
    folder=$1
    shift
    run_pip --only-binary :all: "$@" && return
    say "not everything is there ready-made for this system (see above): compiling what is not"
    run_pip "$@" || fail "cannot install into $folder: pip says why above; is the network there?"
}

# Twice quiet: errors only. pip's own hints about mirrors and versions help nobody here.
run_pip() {
    "$folder/bin/python" -m pip install -qq --disable-pip-version-check --no-warn-script-location "$@"
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
        need_python
        new_venv .venv
    fi
    say "installing the project and its libraries into .venv"
    pip_install .venv -e ".${extra:+[$extra]}"
    wanted "$extra" >.venv/installed-"$extra"
}

# Makes .venv-NAME of tests/acceptance/NAME.txt: programs of other people, which want other versions of the
# libraries that the tests use, or fifty more of them. $1: the name.
make_other_venv() {
    wanted=tests/acceptance/$1.txt
    folder=.venv-$1
    [ -f "$wanted" ] || return 0
    if [ -f "$folder/installed" ] && [ "$(cat "$folder/installed")" = "$(cksum <"$wanted") $PWD" ]; then
        return
    fi
    need_python
    say "making $folder with $python"
    "$python" -m venv --clear "$folder" || fail "cannot make $folder with $python: see above"
    pip_install "$folder" -r "$wanted"
    printf '%s %s\n' "$(cksum <"$wanted")" "$PWD" >"$folder/installed"
}
