// error_handling TARGET URL: tells apart everything that may come of a fetch.
#include <iostream>

#include "absl/time/time.h"
#include "fetchd/client.h"
#include "fetchd/status_details.h"

namespace {

// fetchd has no verdict: the request is wrong, or fetchd is ill. The origin need not have been asked.
void ExplainStatus(const absl::Status& status) {
  const fetchd::StatusDetails details = fetchd::DetailsOf(status);
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      std::cout << "the request is malformed\n";
      for (const auto& field : details.fields) std::cout << "  " << field.subject << ": " << field.description << "\n";
      break;
    case absl::StatusCode::kPermissionDenied:
      std::cout << "this fetchd does not fetch such URLs (" << details.reason << ")\n";
      break;
    case absl::StatusCode::kUnavailable:
      std::cout << "fetchd cannot be reached, or asks to come back later";
      if (details.retry_delay.has_value()) std::cout << ", in " << absl::FormatDuration(*details.retry_delay);
      std::cout << "\n";
      break;
    default:
      break;
  }
  std::cout << fetchd::Describe(status) << "\n";
}

// The origin, or the network on the way to it, failed.
void ExplainError(const fetchd::v1::FetchError& error) {
  std::cout << fetchd::v1::ErrorCode_Name(error.code()) << " in " << fetchd::v1::Phase_Name(error.phase()) << ": "
            << error.message() << "\n";
  if (error.retryable()) std::cout << "may work later\n";
  if (error.processed() == fetchd::v1::PROCESSED_NO) std::cout << "the origin has not acted on it\n";
  if (error.has_partial_response()) {
    std::cout << "received: HTTP " << error.partial_response().status() << " and "
              << error.partial_response().body().size() << " bytes\n";
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: error_handling TARGET URL\n";
    return 2;
  }
  const fetchd::Client client(fetchd::MakeConnection({.endpoint = argv[1], .caller = "sample"}));
  const absl::StatusOr<fetchd::v1::FetchResponse> reply = client.Get(argv[2], {.deadline = absl::Seconds(20)});
  if (!reply.ok()) {
    ExplainStatus(reply.status());
    return 1;
  }
  if (reply->has_error()) {
    ExplainError(reply->error());
    return 1;
  }
  // Any status is a response, 500 too.
  std::cout << "HTTP " << reply->response().status() << " after " << reply->attempts() << " attempt(s)\n";
  return reply->response().status() < 400 ? 0 : 1;
}
