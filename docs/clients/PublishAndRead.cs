// Publish a document (ITI-105), find it (ITI-67), read it (ITI-68).  dotnet run PublishAndRead.cs BASE TOKEN  (.NET 10+)
// or with Mono: mcs -r:System.Net.Http -r:System.Numerics PublishAndRead.cs && mono PublishAndRead.exe BASE TOKEN
// Regular expressions stand in for a JSON or FHIR library (Firely), so that one file is enough.
using System;
using System.Collections.Generic;
using System.IO;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Numerics;
using System.Text;
using System.Text.RegularExpressions;
using System.Threading.Tasks;

public static class PublishAndRead
{
    const string Patient = "urn:oid:1.2.250.1.213.1.4.10|274036912390153";

    public static int Main(string[] arguments)
    {
        return Run(arguments[0], arguments[1]).GetAwaiter().GetResult();
    }

    static async Task<int> Run(string address, string token)
    {
        var dmp = new HttpClient();
        dmp.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        dmp.DefaultRequestHeaders.Accept.ParseAdd("application/fhir+json");

        var uniqueId = "urn:oid:2.25." + BigInteger.Parse("0" + Guid.NewGuid().ToString("N"),
            System.Globalization.NumberStyles.HexNumber);
        var document = File.ReadAllText("fixtures/tour/publish-simple.json")
            .Replace("urn:oid:2.16.840.1.113883.19.250.1.1.902", uniqueId);
        var published = await dmp.PostAsync(address + "/DocumentReference",
            new StringContent(document, Encoding.UTF8, "application/fhir+json"));
        var answer = await published.Content.ReadAsStringAsync();
        if ((int)published.StatusCode != 201)
        {
            Console.Error.WriteLine((int)published.StatusCode + " " + First("\"diagnostics\":\"([^\"]*)", answer));
            return 1;
        }
        Console.WriteLine("published");

        var search = new FormUrlEncodedContent(new Dictionary<string, string>
        {
            { "patient.identifier", Patient },
            { "identifier", "urn:ietf:rfc:3986|" + uniqueId },
        });
        var answered = await dmp.PostAsync(address + "/DocumentReference/_search", search);
        var found = await answered.Content.ReadAsStringAsync();
        Console.WriteLine("found " + First("\"total\":(\\d+)", found));

        var asked = new HttpRequestMessage(HttpMethod.Get, First("\"url\":\"([^\"]*/Binary/[^\"]*)", found));
        asked.Headers.Accept.ParseAdd("*/*");
        var content = await dmp.SendAsync(asked);
        var bytes = await content.Content.ReadAsByteArrayAsync();
        Console.WriteLine("read " + bytes.Length + " " + content.Content.Headers.ContentType.MediaType);
        return 0;
    }

    static string First(string pattern, string text)
    {
        return Regex.Match(text, pattern).Groups[1].Value;
    }
}
