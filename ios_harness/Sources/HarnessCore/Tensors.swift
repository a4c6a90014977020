import Foundation

/// The values of little-endian float32 bytes.
public func floats(fromLittleEndian data: Data) throws -> [Float] {
    guard data.count % 4 == 0 else {
        throw HarnessError(.changed, "\(data.count) bytes are no float32 values.")
    }
    return data.withUnsafeBytes { bytes in
        (0..<data.count / 4).map { index in
            Float(bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self)))
        }
    }
}

/// The little-endian float32 bytes of values.
public func littleEndian(_ values: [Float]) -> Data {
    let words = values.map { $0.bitPattern.littleEndian }
    return words.withUnsafeBytes { Data($0) }
}

/// One clip of a file that holds several, each of `values` float32 values.
public func clip(_ index: Int, of values: Int, inFileAt url: URL) throws -> [Float] {
    let data: Data
    do {
        let file = try FileHandle(forReadingFrom: url)
        defer { try? file.close() }
        try file.seek(toOffset: UInt64(4 * values * index))
        data = try file.read(upToCount: 4 * values) ?? Data()
    } catch {
        throw HarnessError(.file, "\(url.lastPathComponent) can't be read.")
    }
    guard data.count == 4 * values else {
        throw HarnessError(.changed, "\(url.lastPathComponent) ends within clip \(index).")
    }
    return try floats(fromLittleEndian: data)
}
