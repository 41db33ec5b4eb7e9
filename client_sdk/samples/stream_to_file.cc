// stream_to_file TARGET URL FILE: a body of any size into a file, in constant memory here and in fetchd.
#include <fstream>
#include <iostream>

#include "fetchd/client.h"
#include "fetchd/status_details.h"

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: stream_to_file TARGET URL FILE\n";
    return 2;
  }
  const fetchd::Client client(fetchd::MakeConnection({.endpoint = argv[1], .caller = "sample"}));
  fetchd::v1::FetchRequest request;
  request.set_url(argv[2]);

  std::ofstream file(argv[3], std::ios::binary);
  fetchd::BodyReader reader = client.Stream(request);
  for (const absl::StatusOr<std::string>& piece : reader) {
    if (!piece.ok()) {
      std::cerr << fetchd::Describe(piece.status()) << "\n";
      return 1;
    }
    file << *piece;
  }
  // The end of the pieces is not yet the end of the body: the tail says whether the origin sent all of it.
  if (!reader.complete()) {
    std::cerr << "incomplete: " << reader.tail()->error().message() << "\n";
    return 1;
  }
  if (!file.flush()) {
    std::cerr << "cannot write " << argv[3] << "\n";
    return 1;
  }
  std::cout << "HTTP " << reader.head()->status() << ", " << reader.tail()->body_bytes() << " bytes\n";
  return 0;
}
