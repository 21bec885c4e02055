// Publish a document (ITI-105), find it (ITI-67), read it (ITI-68).  java PublishAndRead.java BASE TOKEN  (Java 17+)
// The JDK has no JSON reader: a FHIR library (HAPI) takes the place of the two regular expressions in real software.
import java.math.BigInteger;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

public class PublishAndRead {
    static final HttpClient HTTP = HttpClient.newHttpClient();
    static final String PATIENT = "urn:oid:1.2.250.1.213.1.4.10|274036912390153";

    public static void main(String[] arguments) throws Exception {
        String base = arguments[0], token = arguments[1];
        String uniqueId = "urn:oid:2.25." + new BigInteger(UUID.randomUUID().toString().replace("-", ""), 16);
        String document = Files.readString(Path.of("fixtures/tour/publish-simple.json"))
            .replace("urn:oid:2.16.840.1.113883.19.250.1.1.902", uniqueId);
        HttpResponse<String> published = HTTP.send(
            request(base + "/DocumentReference", token)
                .header("Content-Type", "application/fhir+json").POST(BodyPublishers.ofString(document)).build(),
            BodyHandlers.ofString());
        if (published.statusCode() != 201) {
            System.err.println(published.statusCode() + " " + first("\"diagnostics\":\"([^\"]*)", published.body()));
            System.exit(1);
        }
        System.out.println("published");

        String search = "patient.identifier=" + encoded(PATIENT)
            + "&identifier=" + encoded("urn:ietf:rfc:3986|" + uniqueId);
        String found = HTTP.send(
            request(base + "/DocumentReference/_search", token)
                .header("Content-Type", "application/x-www-form-urlencoded").POST(BodyPublishers.ofString(search)).build(),
            BodyHandlers.ofString()).body();
        System.out.println("found " + first("\"total\":(\\d+)", found));

        String url = first("\"url\":\"(" + Pattern.quote(base) + "/Binary/[^\"]*)", found);
        HttpResponse<byte[]> content = HTTP.send(
            request(url, token).setHeader("Accept", "*/*").build(), BodyHandlers.ofByteArray());
        String type = content.headers().firstValue("Content-Type").orElse("").split(";")[0];
        System.out.println("read " + content.body().length + " " + type);
    }

    static HttpRequest.Builder request(String url, String token) {
        return HttpRequest.newBuilder(URI.create(url))
            .header("Authorization", "Bearer " + token).header("Accept", "application/fhir+json");
    }

    static String encoded(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8);
    }

    static String first(String pattern, String text) {
        Matcher matcher = Pattern.compile(pattern).matcher(text);
        return matcher.find() ? matcher.group(1) : "";
    }
}
