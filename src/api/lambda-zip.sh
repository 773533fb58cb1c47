#!/bin/sh
# Packs parthaul-api for AWS Lambda's runtime "provided.al2023":  lambda-zip.sh PROGRAM ZIP
#
# Debian has no static libcurl and libjose that stand alone, so the zip carries the shared libraries
# that the program was linked with, and with them the C library and its loader: nothing of the
# system it meets there is used but the kernel, and a libcurl of another build cannot get in the way.
# The roots of trust for STS and the issuer's keys are Debian's, as of now: pack again now and then.
set -eu
program=$1 zip=$2
roots=/etc/ssl/certs/ca-certificates.crt
die() { echo "lambda-zip: $*" >&2; exit 1; }
[ -s $roots ] || die "$roots is missing (package ca-certificates)"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/lib"
strip -o "$folder/parthaul-api" "$program"
# "libx.so.1 => /path/libx.so.1 (0x...)", and the loader as "/path/ld-... (0x...)"
ldd "$program" | sed -n 's/^.*[ \t]\(\/[^ ]*\) (0x.*/\1/p' | while read -r library; do
    cp -L "$library" "$folder/lib/"
done
[ "$(find "$folder/lib" -name 'ld-linux*')" ] || die 'found no loader'
cp $roots "$folder/ca-certificates.crt"

cat >"$folder/bootstrap" <<'EOF'
#!/bin/sh
# Lambda starts this. Relative names of files, as of a key, are those of files in the zip.
cd "$(dirname "$0")" || exit 1
export SSL_CERT_FILE="${SSL_CERT_FILE:-$PWD/ca-certificates.crt}"
exec lib/ld-linux*.so.* --library-path "$PWD/lib" "$PWD/parthaul-api" "$@"
EOF
chmod 755 "$folder/bootstrap" "$folder/parthaul-api" "$folder"/lib/*
chmod 644 "$folder/ca-certificates.crt"

# The same input gives the same bytes: no times, no owners, one order.
find "$folder" -exec env TZ=UTC touch -h -t 198001010000 {} +
case $zip in /*) ;; *) zip=$PWD/$zip ;; esac
rm -f "$zip"
(cd "$folder" && find . -type f | LC_ALL=C sort | TZ=UTC zip -q -X -9 "$zip" -@)
