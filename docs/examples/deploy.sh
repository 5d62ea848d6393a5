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

git -C "$site/repository.git" fetch --quiet --prune origin '+refs/heads/*:refs/heads/*'
if [ ! -d "$release" ]; then
    rm -rf "$release.new"
    mkdir -p "$release.new"
    git -C "$site/repository.git" archive "$commit" | tar -x -C "$release.new"
    mv "$release.new" "$release"
fi

# A rename is atomic: a visitor sees the old release or the new one, never a mixture.
ln -sfn "$release" "$site/current.new"
mv -T "$site/current.new" "$site/current"
echo "current is $commit"

# Keep the five latest releases.
ls -1dt "$site"/releases/*/ | tail -n +6 | while read -r old; do
    [ "$(readlink -f "$site/current")" = "$(readlink -f "$old")" ] || rm -rf "$old"
done
