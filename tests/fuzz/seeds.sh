#!/bin/sh
# Seeds for the fuzz targets, made of the samples of this package: `seeds.sh GWANMUN DIRECTORY` fills DIRECTORY/TARGET.
# Nothing that is there already is lost: what a run has found stays beside them.
set -eu
export LC_ALL=C
gwanmun=$(realpath "$1")
samples=$(realpath tests/conformance/samples)
cases=$(realpath tests/samples/cases)
for target in http mime xml c14n signature cpa; do mkdir -p "$2/$target"; done
cd "$2"

cp "$samples/user.http" http/user
printf 'POST /ebms HTTP/1.1\r\nHost: a\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n<a/>\n\r\n0\r\n\r\n' > http/chunked
printf 'POST /ebms HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n<a/>GET /live HTTP/1.1\r\nHost: a\r\n\r\n' > http/two

# A package begins with its Content-Type, on a line of its own.
content_type=$(grep -a -i -m 1 '^content-type:' "$samples/user.http" | cut -d: -f2- | tr -d '\r' | sed 's/^ *//')
{ printf '%s\n' "$content_type"; sed '1,/^\r*$/d' "$samples/user.http"; } > mime/user
for name in ack err neg1 ok1 ok2 status; do
	cp "$samples/$name.xml" "xml/$name"
	cp "$samples/$name.xml" "c14n/$name"
	{ echo 'text/xml; charset=UTF-8'; cat "$samples/$name.xml"; } > "signature/$name"
done
cp mime/user signature/user
cp "$cases/01-herbs/929.xml" xml/declaration

rm -rf world
"$gwanmun" demo --prepare --algorithm p256 --directory world > /dev/null
"$gwanmun" agreement export swgw-kfda-3 --endpoint https://gateway.example:8443/ebms --config world/gwanmun.toml > cpa/kfda
