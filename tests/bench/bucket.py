"""Makes a bucket that takes what any uploader sends from any page:  bucket.py DIR BUCKET

DIR is what tests/servers/seaweedfs.sh was given. The bucket of the tests names the headers that
Parthaul sends; others send others.
"""

import importlib.util
import pathlib
import sys

path = pathlib.Path(__file__).parent.parent / "servers" / "bucket.py"
spec = importlib.util.spec_from_file_location("servers_bucket", path)
servers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(servers)

folder, bucket = sys.argv[1:]
servers.REQUEST_HEADERS = ["*", "authorization"]
servers.prepare(servers.client(servers.read_env(folder)), bucket, ["*"])
