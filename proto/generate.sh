#!/bin/sh
# Regenerates Sources/doors/WeftRPC/Generated from weft.proto. Needs protoc, and builds its two plugins.
set -eu
cd "$(dirname "$0")/.."
plugins=${WEFT_PROTOC_PLUGINS:-.build/debug}
for plugin in protoc-gen-swift protoc-gen-grpc-swift-2; do
    [ -x "$plugins/$plugin" ] || swift build --product "$plugin"
done
protoc --plugin=protoc-gen-swift="$plugins/protoc-gen-swift" \
    --plugin=protoc-gen-grpc-swift-2="$plugins/protoc-gen-grpc-swift-2" \
    -I proto --swift_out=Sources/doors/WeftRPC/Generated --swift_opt=Visibility=Internal \
    --grpc-swift-2_out=Sources/doors/WeftRPC/Generated --grpc-swift-2_opt=Visibility=Internal \
    proto/weft.proto
