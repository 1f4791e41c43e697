"""Every name that inferkit gives a span, an attribute, an event or a metric.

The `gen_ai.*` names are those of the OpenTelemetry semantic conventions for generative AI, version 1.41; `inferkit.*`
are our own. Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/
"""

from __future__ import annotations

SCOPE = "inferkit"
SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.1"

# Spans
CALL = "inferkit.call"
STREAM = "inferkit.stream"
TOOLS = "inferkit.run_tools"
PASSED_ON = "inferkit.pass_through"
EXECUTE_TOOL = "execute_tool"  # and the name of the tool; the conventions' operation, too
OPERATIONS = {"chat": "chat", "embed": "embeddings"}  # ours, and what the conventions call them

PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "gemini-openai": "gcp.gemini",
    "mistral": "mistral_ai",
    "openai-responses": "openai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}
"""Providers that the conventions have another word for."""

# Attributes of an attempt
OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_TEMPERATURE = "gen_ai.request.temperature"
REQUEST_TOP_P = "gen_ai.request.top_p"
REQUEST_SEED = "gen_ai.request.seed"
REQUEST_STOP = "gen_ai.request.stop_sequences"
REQUEST_DIMENSIONS = "gen_ai.embeddings.dimension.count"
REQUEST_STREAM = "gen_ai.request.stream"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_ID = "gen_ai.response.id"
RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons"
RESPONSE_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
USAGE_INPUT = "gen_ai.usage.input_tokens"
USAGE_OUTPUT = "gen_ai.usage.output_tokens"
USAGE_CACHE_READ = "gen_ai.usage.cache_read.input_tokens"
USAGE_CACHE_WRITE = "gen_ai.usage.cache_creation.input_tokens"
USAGE_REASONING = "gen_ai.usage.reasoning.output_tokens"
SERVICE_TIER = "inferkit.service_tier"
SPEED = "inferkit.speed"
REGION = "inferkit.region"
USAGE_DETAIL = "inferkit.usage."  # and the name of a count
COMPUTE_SECONDS = "inferkit.compute_seconds"
SERVER_TOOLS = "inferkit.server_tools."  # and the kind of request
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - the conventions' name
ERROR_TYPE = "error.type"
ATTEMPT_NUMBER = "inferkit.attempt.number"
ATTEMPT_KIND = "inferkit.attempt.kind"

# Attributes of a request of an SDK that is no model call
HTTP_METHOD = "http.request.method"
HTTP_STATUS = "http.response.status_code"
SERVER_ADDRESS = "server.address"
URL_PATH = "url.path"

# Attributes of a tool that is run, and of the loop around
TOOL_NAME = "gen_ai.tool.name"
TOOL_CALL_ID = "gen_ai.tool.call.id"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_DESCRIPTION = "gen_ai.tool.description"
TOOL_ROUNDS = "inferkit.tools.rounds"
TOOL_CALLS = "inferkit.tools.calls"

# Attributes of a call
CALL_ID = "inferkit.call.id"
MODEL = "inferkit.model"
SERVED_BY = "inferkit.served_by"
OUTCOME = "inferkit.outcome"
ATTEMPTS = "inferkit.attempts"
CACHE_RESULT = "inferkit.cache.result"
CACHE_TIER = "inferkit.cache.tier"
INPUT_TOKENS = "inferkit.usage.input_tokens"
OUTPUT_TOKENS = "inferkit.usage.output_tokens"
USAGE_ESTIMATED = "inferkit.usage.estimated"
COST_AMOUNT = "inferkit.cost.amount"
COST_CURRENCY = "inferkit.cost.currency"
COST_SOURCE = "inferkit.cost.source"
COST_REPORTED = "inferkit.cost.reported"
COST_DIFFERENCE = "inferkit.cost.reported_difference"
COST_SAVED = "inferkit.cost.saved"

# Attributes of a stream
CHUNKS = "inferkit.stream.chunks"
CONSUMER_SECONDS = "inferkit.stream.consumer_seconds"
FIRST_CHUNK_EVENT = "first_chunk"

# Metrics: the four of the conventions, and our own
TOKEN_USAGE = "gen_ai.client.token.usage"  # noqa: S105 - the conventions' name
OPERATION_DURATION = "gen_ai.client.operation.duration"
TIME_TO_FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
TIME_PER_OUTPUT_CHUNK = "gen_ai.client.operation.time_per_output_chunk"
CALL_DURATION = "inferkit.call.duration"
CACHE_REQUESTS = "inferkit.cache.requests"
COST = "inferkit.cost"
BUDGET_REJECTIONS = "inferkit.budget.rejections"
MORE_ATTEMPTS = "inferkit.attempts.more"
PASSED_OVER = "inferkit.candidates.passed_over"
LIMIT_WAIT = "inferkit.limit.wait"
LIMIT_REFUSED = "inferkit.limit.refused"
LIMIT_WAITING = "inferkit.limit.waiting"
LIMIT_RUNNING = "inferkit.limit.running"
LIMIT_LEFT = "inferkit.limit.left"
CIRCUIT_STATE = "inferkit.circuit.state"
RETRIES_LEFT = "inferkit.retries.left"
TARGET = "inferkit.target"
REASON = "inferkit.reason"
UNIT = "inferkit.unit"
