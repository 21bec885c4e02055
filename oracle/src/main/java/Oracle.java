import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.context.support.ValidationSupportContext;
import ca.uhn.fhir.parser.IParser;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.SingleValidationMessage;
import ca.uhn.fhir.validation.ValidationOptions;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedWriter;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.PrePopulatedValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.UnknownCodeSystemWarningValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.instance.model.api.IBaseResource;
import org.hl7.fhir.r4.model.StructureDefinition;
import org.hl7.fhir.r5.utils.validation.constants.BestPracticeWarningLevel;

/**
 * The Java reference validator over a file of cases, offline.
 *
 * <pre>java -cp … Oracle PROFILES_FOLDER CASES.ndjson ANSWERS.ndjson</pre>
 *
 * A case is a line {"id", "profiles": [canonical URL], "resource": {…}}; its answer a line {"id", "nanoseconds",
 * "messages": [{"severity", "path", "id", "text"}]}, or {"id", "crash"} when the validator threw. The time
 * is processor time of the thread, from text to messages, after WARMING cases taken all over the file.
 */
public final class Oracle {
    private static final Set<String> KINDS = Set.of("StructureDefinition", "ValueSet", "CodeSystem");
    private static final int WARMING = 1000;
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final ThreadMXBean CLOCK = ManagementFactory.getThreadMXBean();

    public static void main(String[] arguments) throws IOException {
        FhirContext context = FhirContext.forR4();
        FhirValidator validator = validator(context, Path.of(arguments[0]));
        List<String> lines = Files.readAllLines(Path.of(arguments[1]));
        int step = Math.max(1, lines.size() / WARMING);
        for (int n = 0; n < lines.size(); n += step) {
            answer(validator, JSON.readTree(lines.get(n)));
        }
        try (BufferedWriter answers = Files.newBufferedWriter(Path.of(arguments[2]))) {
            for (String line : lines) {
                answers.write(JSON.writeValueAsString(answer(validator, JSON.readTree(line))));
                answers.newLine();
            }
        }
    }

    private static FhirValidator validator(FhirContext context, Path folder) throws IOException {
        PrePopulatedValidationSupport ours = new PrePopulatedValidationSupport(context);
        List<StructureDefinition> structures = new ArrayList<>();
        IParser parser = context.newJsonParser();
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.filter(each -> each.toString().endsWith(".json")).sorted().toList()) {
                JsonNode tree = JSON.readTree(file.toFile());
                if (KINDS.contains(tree.path("resourceType").asText())) {
                    IBaseResource resource = parser.parseResource(tree.toString());
                    ours.addResource(resource);
                    if (resource instanceof StructureDefinition structure) {
                        structures.add(structure);
                    }
                }
            }
        }
        UnknownCodeSystemWarningValidationSupport unknown = new UnknownCodeSystemWarningValidationSupport(context);
        unknown.setNonExistentCodeSystemSeverity(IValidationSupport.IssueSeverity.WARNING);
        ValidationSupportChain chain = new ValidationSupportChain(
                ours,
                new DefaultProfileValidationSupport(context),
                new CommonCodeSystemsTerminologyService(context),
                new InMemoryTerminologyServerValidationSupport(context),
                new SnapshotGeneratingValidationSupport(context),
                unknown);
        // A profile without snapshot would be passed over in silence, resource by resource: better to stop here.
        ValidationSupportContext all = new ValidationSupportContext(chain);
        for (StructureDefinition each : structures) {
            if (chain.generateSnapshot(all, each, "", "", "") == null) {
                throw new IOException("no snapshot for " + each.getUrl());
            }
        }
        FhirInstanceValidator module = new FhirInstanceValidator(chain);
        module.setAnyExtensionsAllowed(true);
        module.setErrorForUnknownProfiles(false);
        module.setBestPracticeWarningLevel(BestPracticeWarningLevel.Ignore);
        return context.newValidator().registerValidatorModule(module);
    }

    private static ObjectNode answer(FhirValidator validator, JsonNode item) {
        ValidationOptions options = new ValidationOptions();
        item.path("profiles").forEach(each -> options.addProfile(each.asText()));
        String text = item.get("resource").toString();
        ObjectNode answer = JSON.createObjectNode().put("id", item.get("id").asText());
        ArrayNode messages = JSON.createArrayNode();
        long start = CLOCK.getCurrentThreadCpuTime();
        List<SingleValidationMessage> found;
        try {
            found = validator.validateWithResult(text, options).getMessages();
        } catch (RuntimeException fault) { // the validator itself gave up: said as such, no verdict
            return answer.put("crash", fault.toString());
        }
        answer.put("nanoseconds", CLOCK.getCurrentThreadCpuTime() - start);
        for (SingleValidationMessage each : found) {
            messages.addObject()
                    .put("severity", each.getSeverity().getCode())
                    .put("path", each.getLocationString())
                    .put("id", each.getMessageId())
                    .put("text", each.getMessage());
        }
        answer.set("messages", messages);
        return answer;
    }
}
