#!/bin/sh
# Deploys one commit: checks it out into a folder of its own, then switches the link `current`.
# Usage: deploy.sh COMMIT
# SITE is the folder with `repository.git` (a bare clone), `releases/` and the link `current`.
set -eu

commit=${1:?usage: deploy.sh COMMIT}
site=${SITE:-/srv/site}
release=$site/releases/$commit

case $commit in
    *[!0-9a-f]* | "") echo "not a commit id: $commit" >&2; exit 2 ;;
esac

# A deploy that fails or is stopped leaves no half release.
trap 'rm -rf "$release.new" "$release.tar"' EXIT
trap 'exit 1' HUP INT TERM

git -C "$site/repository.git" fetch --quiet --prune origin '+refs/heads/*:refs/heads/*'
if [ ! -d "$release" ]; then
    rm -rf "$release.new"
    mkdir -p "$release.new"
    # A file and not a pipe: the shell would ignore the exit code of `git` in a pipe.
    git -C "$site/repository.git" archive --output "$release.tar" "$commit"
    tar -x -f "$release.tar" -C "$release.new"
    mv "$release.new" "$release"
fi

# A rename is atomic: a visitor sees the old release or the new one, never a mixture.
ln -sfn "$release" "$site/current.new"
mv -T "$site/current.new" "$site/current"
echo "current is $commit"

# Keep the five latest releases. `*.new` is a release that a killed deploy left behind.
ls -1dt "$site"/releases/*/ | grep -v '\.new/$' | tail -n +6 | while read -r old; do
    [ "$(readlink -f "$site/current")" = "$(readlink -f "$old")" ] || rm -rf "$old"
done
