// upload TARGET URL FILE: PUTs a file of any size, in constant memory.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

#include "fetchd/client.h"
#include "fetchd/status_details.h"

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: upload TARGET URL FILE\n";
    return 2;
  }
  std::ifstream file(argv[3], std::ios::binary);
  std::error_code error;
  const uint64_t size = std::filesystem::file_size(argv[3], error);
  if (!file || error) {
    std::cerr << "cannot read " << argv[3] << "\n";
    return 1;
  }
  const fetchd::Client client(fetchd::MakeConnection({.endpoint = argv[1], .caller = "sample"}));
  fetchd::v1::FetchRequest request;
  request.set_url(argv[2]);
  request.set_method("PUT");

  auto [writer, reader] = client.Upload(request, size);
  std::string piece(64 * 1024, '\0');
  while (file.read(piece.data(), static_cast<std::streamsize>(piece.size())) || file.gcount() > 0) {
    // False: the origin has answered before it read everything.
    if (!writer.Write({piece.data(), static_cast<size_t>(file.gcount())})) break;
  }
  writer.Close();

  std::string answer;
  for (const absl::StatusOr<std::string>& chunk : reader) {
    if (!chunk.ok()) {
      std::cerr << fetchd::Describe(chunk.status()) << "\n";
      return 1;
    }
    answer += *chunk;
  }
  if (!reader.complete()) {
    std::cerr << reader.tail()->error().message() << "\n";
    return 1;
  }
  std::cout << "HTTP " << reader.head()->status() << "\n" << answer;
  return 0;
}
