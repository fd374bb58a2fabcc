import CCrypto

/// SHA-256 by the system's libcrypto.
package struct SHA256 {
  private let context: OpaquePointer = EVP_MD_CTX_new()

  private init() { EVP_DigestInit_ex(context, EVP_sha256(), nil) }

  /// The digest of `bytes` in lower-case hexadecimal, 64 characters.
  package static func hex(_ bytes: UnsafeRawBufferPointer) -> String {
    let hash = SHA256()
    defer { EVP_MD_CTX_free(hash.context) }
    EVP_DigestUpdate(hash.context, bytes.baseAddress, bytes.count)
    var digest = [UInt8](repeating: 0, count: 32)
    EVP_DigestFinal_ex(hash.context, &digest, nil)
    return digest.map { byte in
      let text = String(byte, radix: 16)
      return text.count == 1 ? "0" + text : text
    }.joined()
  }

  package static func hex(_ bytes: some Sequence<UInt8>) -> String {
    Array(bytes).withUnsafeBytes { hex($0) }
  }

  package static func hex(_ text: String) -> String { hex(text.utf8) }
}
