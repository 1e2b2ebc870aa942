"""Tests of gRPC need its packages."""

from helpers.engines import require

require("grpc", "grpc_health", "grpc_reflection", "google.protobuf")
