package dmpfhir;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.HashMapResourceProvider;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.hl7.fhir.r4.model.Binary;
import org.hl7.fhir.r4.model.DocumentReference;
import org.hl7.fhir.r4.model.ListResource;
import org.hl7.fhir.r4.model.Patient;

/** A plain HAPI FHIR server: four types in memory, as the library gives them, and nothing of IHE MHD. */
public final class Foreign {
  public static void main(String[] arguments) throws Exception {
    FhirContext context = FhirContext.forR4();
    RestfulServer fhir = new RestfulServer(context);
    fhir.registerProviders(
        new HashMapResourceProvider<>(context, DocumentReference.class),
        new HashMapResourceProvider<>(context, ListResource.class),
        new HashMapResourceProvider<>(context, Binary.class),
        new HashMapResourceProvider<>(context, Patient.class));
    ServletContextHandler servlets = new ServletContextHandler();
    servlets.addServlet(new ServletHolder(fhir), "/fhir/*");
    Server server = new Server(Integer.parseInt(arguments[0]));
    server.setHandler(servlets);
    server.start();
    server.join();
  }
}
