// From a conformance pack of dvfl-mobile. Copy it into your tests as it is; README.md in the pack says how.
// Needs the JDK, org.json (which Android has) and JUnit 4, and nothing else.

package dvfl.conformance

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.security.MessageDigest
import org.json.JSONArray
import org.json.JSONObject
import org.junit.Assert.assertTrue
import org.junit.Test

/** A picture, upright: row after row, one byte each for R, G and B of every pixel. */
class Picture(val width: Int, val height: Int, val rgb: ByteArray)

/**
 * What your decoder makes of a video.
 *
 * @property frameCount how many frames it gives in all.
 * @property indices the frames that make up the clip, counted from 0 in the order shown.
 * @property frames these frames, in that order.
 */
class Decoded(val frameCount: Int, val indices: IntArray, val frames: List<Picture>)

/** Your app's own code, from a video to logits. What can't be had by itself is null, and stays unjudged. */
interface PipelineUnderTest {
    fun decode(video: File): Decoded?

    /** Scaled and cropped: one byte a value, in the order frame, channel (R, G, B), row, column. */
    fun pixels(frames: List<Picture>): ByteArray?

    /** The numbers that the model's input is filled with, in the order in which they lie there. */
    fun tensor(pixels: ByteArray): FloatArray?

    /** What the model answers, before any softmax. */
    fun logits(tensor: FloatArray): FloatArray?
}

/** Runs your pipeline over the pack and writes what it made of it. `dvfl-mobile parity` judges that. */
abstract class ConformanceTest {
    abstract val pipeline: PipelineUnderTest

    /** The unpacked pack: the folder that holds pack.json. */
    abstract val pack: File

    /** Where to write pack-results.json. */
    abstract val results: File

    /** The model file that the app runs; null where it isn't a single file. */
    open val model: File? = null
    open val app: String = "an app"
    open val device: String = System.getProperty("os.name") + " " + System.getProperty("os.arch")

    @Test
    fun writePackResults() {
        val head = File(pack, "pack.json").readBytes()
        val contents = JSONObject(String(head, Charsets.UTF_8))
        val measure = Measure(contents.getInt("stride"), contents.getInt("grid"))
        val frames = contents.getJSONObject("clip").getInt("frames")
        val document = JSONObject()
            .put("schema_version", 1)
            .put("pack_sha256", measure.sha256(head))
            .put("app", app)
            .put("device", device)
            .put("model_sha256", orNull(model?.let { measure.sha256(it.readBytes()) }))
            .put("pictures", each(contents.getJSONArray("pictures")) { picture(it, frames, measure) })
            .put("clips", each(contents.getJSONArray("videos")) { clip(it, measure) })
            .put("videos", each(contents.getJSONArray("videos")) { video(it, measure) })
        results.absoluteFile.parentFile?.mkdirs()
        results.writeText(document.toString())
        assertTrue(results.isFile)
    }

    private fun picture(entry: JSONObject, frames: Int, measure: Measure): JSONObject {
        val pictures = (0 until frames).map { drawn(it, entry.getInt("width"), entry.getInt("height")) }
        return JSONObject()
            .put("name", entry.getString("name"))
            .put("pixels", orNull(pipeline.pixels(pictures)?.let(measure::bytes)))
    }

    /** Picture t of those whose channel c in column x and row y is (3x + 5y + 7c + 11t + xy) mod 256. */
    private fun drawn(t: Int, width: Int, height: Int): Picture {
        val rgb = ByteArray(width * height * 3)
        var at = 0
        for (y in 0 until height) for (x in 0 until width) for (c in 0 until 3) {
            rgb[at++] = (3 * x + 5 * y + 7 * c + 11 * t + x * y).toByte()
        }
        return Picture(width, height, rgb)
    }

    private fun clip(entry: JSONObject, measure: Measure): JSONObject? {
        if (entry.isNull("clip")) return null
        val tensor = pipeline.tensor(File(pack, entry.getString("clip")).readBytes())
        return JSONObject()
            .put("name", entry.getString("name"))
            .put("tensor", orNull(tensor?.let(measure::floats)))
            .put("logits", orNull(tensor?.let(pipeline::logits)?.let { measure.hex(measure.littleEndian(it)) }))
    }

    private fun video(entry: JSONObject, measure: Measure): JSONObject {
        val decoded = pipeline.decode(File(pack, entry.getString("file")))
        val pixels = decoded?.let { pipeline.pixels(it.frames) }
        val tensor = pixels?.let(pipeline::tensor)
        return JSONObject()
            .put("name", entry.getString("name"))
            .put("frame_count", orNull(decoded?.frameCount))
            .put("indices", orNull(decoded?.let { JSONArray(it.indices.toList()) }))
            .put("frames", orNull(decoded?.let { JSONArray(it.frames.map(measure::frame)) }))
            .put("pixels", orNull(pixels?.let(measure::bytes)))
            .put("tensor", orNull(tensor?.let(measure::floats)))
            .put("logits", orNull(tensor?.let(pipeline::logits)?.let { measure.hex(measure.littleEndian(it)) }))
    }

    private fun each(entries: JSONArray, make: (JSONObject) -> JSONObject?): JSONArray =
        JSONArray((0 until entries.length()).mapNotNull { make(entries.getJSONObject(it)) })

    /** org.json leaves a plain null out. */
    private fun orNull(value: Any?): Any = value ?: JSONObject.NULL
}

/** What of an array goes into the results. */
private class Measure(private val stride: Int, private val grid: Int) {
    fun bytes(values: ByteArray): JSONObject {
        val samples = ByteArray((values.size + stride - 1) / stride) { values[it * stride] }
        return summary(values.size, sha256(values), hex(samples))
    }

    fun floats(values: FloatArray): JSONObject {
        val samples = FloatArray((values.size + stride - 1) / stride) { values[it * stride] }
        return summary(values.size, sha256(littleEndian(values)), hex(littleEndian(samples)))
    }

    fun frame(picture: Picture): JSONObject = JSONObject()
        .put("width", picture.width)
        .put("height", picture.height)
        .put("sha256", sha256(picture.rgb))
        .put("thumbnail", hex(thumbnail(picture)))

    /** The rounded means of grid x grid blocks. */
    private fun thumbnail(picture: Picture): ByteArray {
        val thumbnail = ByteArray(grid * grid * 3)
        for (row in 0 until grid) for (column in 0 until grid) for (channel in 0 until 3) {
            var sum = 0L
            var count = 0L
            for (y in row * picture.height / grid until (row + 1) * picture.height / grid) {
                for (x in column * picture.width / grid until (column + 1) * picture.width / grid) {
                    sum += picture.rgb[(y * picture.width + x) * 3 + channel].toInt() and 255
                    count++
                }
            }
            thumbnail[(row * grid + column) * 3 + channel] = ((2 * sum + count) / (2 * count)).toByte()
        }
        return thumbnail
    }

    fun littleEndian(values: FloatArray): ByteArray {
        val buffer = ByteBuffer.allocate(4 * values.size).order(ByteOrder.LITTLE_ENDIAN)
        for (value in values) buffer.putFloat(value)
        return buffer.array()
    }

    fun sha256(bytes: ByteArray): String = hex(MessageDigest.getInstance("SHA-256").digest(bytes))

    fun hex(bytes: ByteArray): String {
        val digits = "0123456789abcdef"
        val text = StringBuilder(2 * bytes.size)
        for (byte in bytes) {
            text.append(digits[byte.toInt() shr 4 and 15]).append(digits[byte.toInt() and 15])
        }
        return text.toString()
    }

    private fun summary(count: Int, sha256: String, samples: String): JSONObject =
        JSONObject().put("count", count).put("sha256", sha256).put("samples", samples)
}
